import com.elkapi.Answer;
import com.elkapi.Client;
import com.elkapi.ElkapiException;
import com.elkapi.Stream;
import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Collectors;

/** Does what tests/languages/run.py says, a line of JSON texts between tabs each, and tells what it saw. */
final class Runner {
    static final String MOSS = "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"sim\":{\"text\":\"Moss\"}}";
    static final BufferedReader IN = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    static final class Facts extends LinkedHashMap<String, Object> {
        Facts and(String name, Object value) {
            put(name, value);
            return this;
        }
    }

    static Facts facts() {
        return new Facts();
    }

    static String json(Object value) {
        return value instanceof String ? Client.quote((String) value) : String.valueOf(value);
    }

    static void tell(Map<String, Object> facts) {
        OUT.print(facts.entrySet().stream().map(one -> json(one.getKey()) + ":" + json(one.getValue()))
            .collect(Collectors.joining(",", "{", "}\n")));
        OUT.flush();
    }

    static Object known(OptionalLong number) {
        return number.isPresent() ? (Object) number.getAsLong() : null;
    }

    static Client open(String config) {
        return config.isEmpty() ? new Client() : new Client(config);
    }

    static String after(String good) {
        try (Client client = new Client(good)) {
            return client.chatCompletions(MOSS).text();
        }
    }

    static Facts seen(Answer answer) {
        return facts().and("text", answer.text()).and("verdict", answer.verdict())
            .and("status", known(answer.number("/call/status"))).and("model", answer.get("/model"))
            .and("tokens", known(answer.number("/usage/total_tokens"))).and("request_id", answer.requestId())
            .and("nothing", answer.get("/nothing/here")).and("choices", answer.count("/choices"))
            .and("type", answer.type("/choices/0/message")).and("media", answer.header("content-type"))
            .and("models", answer.count("/data"));
    }

    static Facts failure(ElkapiException error) {
        return facts().and("kind", error.kind()).and("status", error.status() == 0 ? null : error.status())
            .and("request_id", error.requestId()).and("retryable", error.retryable()).and("billed", error.billed())
            .and("message", error.getMessage()).and("partial", error.answer().text())
            .and("verdict", error.answer().verdict())
            .and("retry_after_ms", error.retryAfter() == null ? null : error.retryAfter().toMillis());
    }

    static void read(Client client, String request, int limit, Facts told, boolean first) {
        int chunks = 0;
        told.and("chunks", 0).and("text", "");
        try (Stream stream = client.stream(request)) {
            for (Stream.Chunk chunk : stream) {
                told.and("chunks", ++chunks).and("text", told.get("text") + chunk.text());
                told.and("json", chunk.json().startsWith("{") && chunk.json().contains("\"choices\":["));
                if (first && !chunk.text().isEmpty()) {
                    first = false;
                    tell(facts().and("first", chunk.text()));
                }
                if (chunks == limit) return;
            }
            Answer whole = stream.answer();
            told.and("whole", whole.text()).and("verdict", whole.verdict())
                .and("tokens", known(whole.number("/usage/total_tokens")));
        }
    }

    static ElkapiException stopped(Client client, String request, String how) {
        try {
            if (how.equals("unary")) {
                client.chatCompletions(request);
                return null;
            }
            boolean begun = false;
            try (Stream stream = client.stream(request)) {
                for (Stream.Chunk chunk : stream) {
                    if (begun || chunk.text().isEmpty()) continue;
                    begun = true;
                    tell(facts().and("begun", true));
                }
            }
            return null;
        } catch (ElkapiException error) {
            return error;
        }
    }

    /** The other way to stop a call: the server sees that it is left, in counters of its own. */
    static void cancelFuture(String config, String request) throws Exception {
        String apart = config.replace("/fault/", "-future/fault/");
        URL stats = new URL(apart.replaceFirst(".*\"(http://[^\"]*?)/fault/.*", "$1/__stats"));
        CompletableFuture<Answer> future = open(apart).chatCompletionsAsync(request);
        waitFor(stats, "\"in_flight\":1,");
        future.cancel(true);
        waitFor(stats, "\"closed_by_client\":1,");
    }

    static void waitFor(URL stats, String wanted) throws Exception {
        while (true) {
            try (InputStream reply = stats.openStream()) {
                if (new String(reply.readAllBytes(), StandardCharsets.UTF_8).contains(wanted)) return;
            }
            Thread.sleep(10);
        }
    }

    static boolean refused(Runnable use) {
        try {
            use.run();
            return false;
        } catch (IllegalStateException closed) {
            return true;
        }
    }

    static Facts drive(String what, String config, String request, String argument, String good) throws Exception {
        if (what.equals("version")) return facts().and("version", Client.version());
        int number = argument.matches("\\d+") ? Integer.parseInt(argument) : 0;
        Facts told = facts();
        switch (what) {
            case "ask": {
                Client client = open(config);
                return seen((argument.isEmpty() ? client : client.with(argument)).chatCompletions(request));
            }
            case "get":
                return seen(open(config).get(argument));
            case "stream":
            case "first":
                try {
                    read(open(config), request, number, told, what.equals("first"));
                    if (!argument.isEmpty()) told.and("after", after(good));
                } catch (ElkapiException error) {
                    told.putAll(failure(error));
                }
                return told;
            case "cancel": {
                Client client = open(config);
                ElkapiException[] error = new ElkapiException[1];
                tell(facts().and("waiting", true));
                Thread worker = new Thread(() -> error[0] = stopped(client, request, argument));
                worker.start();
                IN.readLine();
                long started = System.nanoTime();
                worker.interrupt();
                worker.join();
                long ms = (System.nanoTime() - started) / 1_000_000;
                if (argument.equals("unary")) cancelFuture(config, request);
                tell(failure(error[0]).and("ms", ms));
                return facts().and("after", after(good));
            }
            case "interrupt": {
                Thread main = Thread.currentThread();
                sun.misc.Signal.handle(new sun.misc.Signal("INT"), signal -> main.interrupt());
                tell(facts().and("waiting", true));
                ElkapiException error = stopped(open(config), request, argument);
                // interrupted() also takes the flag away.
                boolean flag = Thread.interrupted();
                tell(facts().and("interrupted", flag && error != null && error.kind().equals("cancelled")));
                return facts().and("after", after(good));
            }
            case "concurrent": {
                Client client = open(config);
                List<CompletableFuture<Answer>> calls = new ArrayList<>();
                while (calls.size() < number) calls.add(client.chatCompletionsAsync(request));
                return facts().and("texts",
                    calls.stream().map(call -> call.join().text()).collect(Collectors.joining(",")));
            }
            case "picture": {
                List<Answer.Image> images = open(config).chatCompletions(request).images();
                images.get(0).save(Path.of(argument));
                return facts().and("images", images.size()).and("media_type", images.get(0).mediaType())
                    .and("bytes", images.get(0).bytes().length);
            }
            case "forget":
                for (int i = 0; i < number; i++) open(config).chatCompletions(request);
                for (int i = 0; i < 3; i++) {
                    System.gc();
                    Thread.sleep(20);
                }
                return facts().and("made", number);
            case "close": {
                List<Client> clients = new ArrayList<>();
                while (clients.size() < number) clients.add(open(config));
                List<Answer> answers = new ArrayList<>();
                for (Client one : clients) answers.add(one.chatCompletions(request));
                for (int i = 0; i < 2; i++) {
                    answers.forEach(Answer::close);
                    clients.forEach(Client::close);
                }
                return facts().and("made", clients.size())
                    .and("refused", refused(() -> clients.get(0).chatCompletions(request)))
                    .and("answer_refused", refused(() -> answers.get(0).text()));
            }
            default:
                throw new IllegalArgumentException(what);
        }
    }

    public static void main(String[] arguments) throws Exception {
        for (String line; (line = IN.readLine()) != null;) {
            String[] parts = line.split("\t", -1);
            Facts told;
            try {
                told = drive(parts[0], parts[1], parts[2], parts[3], parts[4]);
            } catch (ElkapiException error) {
                told = failure(error);
            }
            tell(told);
        }
    }
}
