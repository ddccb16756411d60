// Compiled, not run: that what the README shows has types, and wrong use has none.
import { Client, ElkapiError } from "elkapi";

export async function use(): Promise<string> {
  const client = new Client({ api_key: "sk-..." });
  for await (const chunk of client.stream({ messages: [] }, { signal: new AbortController().signal })) {
    const text: string = chunk.text;
    console.log(text);
  }
  // @ts-expect-error a number is no request
  await client.chatCompletions(1);
  try {
    return (await client.chatCompletions("{}")).text;
  } catch (error) {
    if (error instanceof ElkapiError && error.billed === "no") return error.kind;
    throw error;
  }
}
