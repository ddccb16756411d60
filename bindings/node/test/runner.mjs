// Does what tests/languages/run.py says, a line of JSON texts between tabs each, and tells what it saw.
import { createInterface } from "node:readline";
import { Client, ClosedError, ElkapiError, version } from "elkapi";

const MOSS = { messages: [{ role: "user", content: "Hi" }], sim: { text: "Moss" } };
const tell = (facts) => process.stdout.write(JSON.stringify(facts) + "\n");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const open = (config) => (config === "" ? new Client() : new Client(config));
const after = async (good) => (await new Client(good).chatCompletions(MOSS)).text;

const facts = (answer) => ({
  text: answer.text, verdict: answer.verdict, status: answer.number("/call/status"), model: answer.get("/model"),
  tokens: answer.number("/usage/total_tokens"), request_id: answer.requestId, nothing: answer.get("/nothing/here"),
  choices: answer.count("/choices"), type: answer.type("/choices/0/message"), media: answer.header("content-type"),
  models: answer.count("/data"),
});

function failure(error) {
  if (!(error instanceof ElkapiError)) throw error;
  return {
    kind: error.kind, status: error.status, request_id: error.requestId, retryable: error.retryable,
    billed: error.billed, message: error.message, retry_after_ms: error.retryAfterMs,
    partial: error.answer.text, verdict: error.answer.verdict,
  };
}

async function read(client, request, limit, told, first) {
  Object.assign(told, { chunks: 0, text: "" });
  const stream = client.stream(request);
  for await (const chunk of stream) {
    told.chunks += 1;
    told.text += chunk.text;
    told.json = Array.isArray(JSON.parse(chunk.json).choices);
    if (first && chunk.text !== "") {
      first = false;
      tell({ first: chunk.text });
    }
    if (told.chunks === limit) return;
  }
  const [whole, again] = await Promise.all([stream.answer(), stream.answer()]);
  if (again !== whole) throw new Error("two answers of one stream");
  Object.assign(told, { whole: whole.text, verdict: whole.verdict, tokens: whole.number("/usage/total_tokens") });
}

async function stopping(client, request, how, signal) {
  if (how === "unary") return client.chatCompletions(request, { signal });
  let begun = false;
  for await (const chunk of client.stream(request, { signal })) {
    if (!begun && chunk.text !== "") {
      begun = true;
      tell({ begun });
    }
  }
}

async function drive(what, config, request, argument, good) {
  if (what === "version") return { version };
  let client = open(config);
  const number = Number(argument);
  switch (what) {
    case "ask":
      if (argument !== "") client = client.with(argument);
      return facts(await client.chatCompletions(request));
    case "get":
      return facts(await client.get(argument));
    case "stream":
    case "first": {
      const told = {};
      try {
        await read(client, request, number, told, what === "first");
        if (argument !== "") told.after = await after(good);
      } catch (error) {
        Object.assign(told, failure(error));
      }
      return told;
    }
    case "cancel": {
      const controller = new AbortController();
      tell({ waiting: true });
      const stopped = stopping(client, request, argument, controller.signal).catch((error) => error);
      await lines.next();
      const started = performance.now();
      controller.abort();
      const error = await stopped;
      tell({ ...failure(error), ms: performance.now() - started });
      return { after: await after(good) };
    }
    case "interrupt": {
      const controller = new AbortController();
      process.once("SIGINT", () => controller.abort());
      tell({ waiting: true });
      const error = await stopping(client, request, argument, controller.signal).catch((error) => error);
      tell({ interrupted: error.name === "AbortError" && error.cause === controller.signal.reason });
      return { after: await after(good) };
    }
    case "concurrent": {
      const answers = await Promise.all(Array.from({ length: number }, () => client.chatCompletions(request)));
      return { texts: answers.map((answer) => answer.text).join(",") };
    }
    case "picture": {
      const { images } = await client.chatCompletions(request);
      images[0].save(argument);
      return { images: images.length, media_type: images[0].mediaType, bytes: images[0].bytes.length };
    }
    case "forget":
      for (let i = 0; i < number; i++) await open(config).chatCompletions(request);
      client = null;
      for (let i = 0; i < 5; i++) {
        await new Promise((resolve) => setTimeout(resolve, 150));
        globalThis.gc();
      }
      return { made: number };
    case "close": {
      const clients = [client, ...Array.from({ length: number - 1 }, () => open(config))];
      const answers = [];
      for (const one of clients) answers.push(await one.chatCompletions(request));
      for (const one of [...answers, ...answers]) one.close();
      // More than the library's queue holds by itself, and under way when the client is closed.
      const calls = Array.from({ length: 1100 }, () => client.chatCompletions(request).catch((error) => error));
      for (const one of [...clients, ...clients]) one.close();
      const refused = await client.chatCompletions(request).catch((error) => error);
      const odd = (await Promise.all(calls)).filter((one) => one instanceof Error && one.kind !== "cancelled");
      if (odd.length > 0) throw odd[0];
      let answer_refused = null;
      try {
        answers[0].text;
      } catch (error) {
        answer_refused = error;
      }
      return { made: clients.length, refused: refused instanceof ClosedError, answer_refused: answer_refused instanceof ClosedError };
    }
  }
}

for (;;) {
  const { value, done } = await lines.next();
  if (done) break;
  try {
    tell(await drive(...value.split("\t")));
  } catch (error) {
    tell(failure(error));
  }
}
