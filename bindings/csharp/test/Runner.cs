// Does what tests/languages/run.py says, a line of JSON texts between tabs each, and tells what it saw.
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using Elkapi;
using Facts = System.Collections.Generic.Dictionary<string, object>;

static class Runner
{
    const string Moss = "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"sim\":{\"text\":\"Moss\"}}";
    static readonly StreamReader In = new StreamReader(Console.OpenStandardInput(), new UTF8Encoding(false));
    static readonly StreamWriter Out = new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(false)) { AutoFlush = true };

    static string Json(object value)
    {
        if (value == null) return "null";
        if (value is string text) return Library.Quote(text);
        return Convert.ToString(value, System.Globalization.CultureInfo.InvariantCulture).ToLowerInvariant();
    }

    static void Tell(Facts facts) =>
        Out.Write("{" + string.Join(",", facts.Select(one => Library.Quote(one.Key) + ":" + Json(one.Value))) + "}\n");

    static Client Open(string config) => config == "" ? new Client() : new Client(config);

    static string After(string good)
    {
        using (var client = new Client(good)) return client.ChatCompletions(Moss).Text;
    }

    static Facts Seen(Answer answer) => new Facts
    {
        ["text"] = answer.Text, ["verdict"] = answer.Verdict, ["status"] = answer.Number("/call/status"),
        ["model"] = answer.Get("/model"), ["tokens"] = answer.Number("/usage/total_tokens"),
        ["request_id"] = answer.RequestId, ["nothing"] = answer.Get("/nothing/here"),
        ["choices"] = answer.Count("/choices"), ["type"] = answer.Type("/choices/0/message"),
        ["media"] = answer.Header("content-type"), ["models"] = answer.Count("/data"),
    };

    static Facts Failure(Exception exception)
    {
        var error = (exception as OperationCanceledException)?.InnerException as ElkapiException ?? exception as ElkapiException;
        if (error == null) throw new Exception("not an error of elkapi", exception);
        return new Facts
        {
            ["kind"] = error.Kind, ["status"] = error.Status, ["request_id"] = error.RequestId,
            ["retryable"] = error.Retryable, ["billed"] = error.Billed, ["message"] = error.Message,
            ["retry_after_ms"] = (long?)error.RetryAfter?.TotalMilliseconds,
            ["partial"] = error.Answer.Text, ["verdict"] = error.Answer.Verdict,
        };
    }

    static void Read(Client client, string request, int limit, Facts told, bool first)
    {
        int chunks = 0;
        told["chunks"] = 0;
        told["text"] = "";
        var stream = client.Stream(request);
        foreach (var chunk in stream)
        {
            told["chunks"] = ++chunks;
            told["text"] += chunk.Text;
            told["json"] = chunk.Json.StartsWith("{") && chunk.Json.Contains("\"choices\":[");
            if (first && chunk.Text != "")
            {
                first = false;
                Tell(new Facts { ["first"] = chunk.Text });
            }
            if (chunks == limit) return;
        }
        var whole = stream.Answer();
        told["whole"] = whole.Text;
        told["verdict"] = whole.Verdict;
        told["tokens"] = whole.Number("/usage/total_tokens");
    }

    static void Stopping(Client client, string request, string how, CancellationToken cancel)
    {
        if (how == "unary") client.ChatCompletions(request, cancel);
        if (how == "unary") return;
        bool begun = false;
        using (var stream = client.Stream(request, cancel))
            foreach (var chunk in stream)
            {
                if (begun || chunk.Text == "") continue;
                begun = true;
                Tell(new Facts { ["begun"] = true });
            }
    }

    static Exception Caught(Action action)
    {
        try { action(); } catch (Exception exception) { return exception; }
        return null;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    static void MakeAndForget(string config, string request, int number)
    {
        for (int i = 0; i < number; i++) Open(config).ChatCompletions(request);
    }

    static Facts Drive(string what, string config, string request, string argument, string good)
    {
        if (what == "version") return new Facts { ["version"] = Library.Version };
        int.TryParse(argument, out int number);
        if (what == "forget")
        {
            // On a thread that ends, so that no stack keeps anything.
            var maker = new Thread(() => MakeAndForget(config, request, number));
            maker.Start();
            maker.Join();
            for (int i = 0; i < 3; i++)
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
            }
            return new Facts { ["made"] = number };
        }
        var client = Open(config);
        var told = new Facts();
        switch (what)
        {
            case "ask":
                return Seen((argument == "" ? client : client.With(argument)).ChatCompletions(request));
            case "get":
                return Seen(client.Get(argument));
            case "stream":
            case "first":
                var failed = Caught(() => Read(client, request, number, told, what == "first"));
                if (failed != null) foreach (var one in Failure(failed)) told[one.Key] = one.Value;
                else if (argument != "") told["after"] = After(good);
                return told;
            case "cancel":
                using (var source = new CancellationTokenSource())
                {
                    Exception stopped = null;
                    Tell(new Facts { ["waiting"] = true });
                    var worker = new Thread(() => stopped = Caught(() => Stopping(client, request, argument, source.Token)));
                    worker.Start();
                    In.ReadLine();
                    var watch = Stopwatch.StartNew();
                    source.Cancel();
                    worker.Join();
                    long ms = watch.ElapsedMilliseconds;
                    if (!(stopped is OperationCanceledException)) throw new Exception("not cancelled", stopped);
                    told = Failure(stopped);
                    told["ms"] = ms;
                }
                Tell(told);
                return new Facts { ["after"] = After(good) };
            case "interrupt":
                // Mono's Console.CancelKeyPress wants a terminal, which a test has not.
                using (var source = new CancellationTokenSource())
                using (var interrupt = new Mono.Unix.UnixSignal(Mono.Unix.Native.Signum.SIGINT))
                {
                    // A signal that comes before WaitOne is counted but does not end it, so the count is looked at.
                    new Thread(() =>
                    {
                        while (!interrupt.WaitOne(10) && !interrupt.IsSet) { }
                        source.Cancel();
                    }) { IsBackground = true }.Start();
                    Tell(new Facts { ["waiting"] = true });
                    var interrupted = Caught(() => Stopping(client, request, argument, source.Token));
                    Tell(new Facts { ["interrupted"] = interrupted is OperationCanceledException });
                }
                return new Facts { ["after"] = After(good) };
            case "concurrent":
                var calls = Enumerable.Range(0, number).Select(_ => client.ChatCompletionsAsync(request)).ToArray();
                Task.WaitAll(calls);
                return new Facts { ["texts"] = string.Join(",", calls.Select(call => call.Result.Text)) };
            case "picture":
                var images = client.ChatCompletions(request).Images;
                images[0].Save(argument);
                return new Facts { ["images"] = images.Count, ["media_type"] = images[0].MediaType, ["bytes"] = images[0].Bytes.Length };
            case "close":
                var clients = new List<Client> { client };
                while (clients.Count < number) clients.Add(Open(config));
                var answers = clients.Select(one => one.ChatCompletions(request)).ToList();
                foreach (var one in answers.Concat(answers)) one.Dispose();
                foreach (var one in clients.Concat(clients)) one.Dispose();
                return new Facts
                {
                    ["made"] = clients.Count,
                    ["refused"] = Caught(() => client.ChatCompletions(request)) is ObjectDisposedException,
                    ["answer_refused"] = Caught(() => answers[0].Text.ToString()) is ObjectDisposedException,
                };
        }
        throw new ArgumentException(what);
    }

    static void Main()
    {
        string line;
        while ((line = In.ReadLine()) != null)
        {
            var parts = line.Split('\t');
            Facts told = null;
            var failed = Caught(() => told = Drive(parts[0], parts[1], parts[2], parts[3], parts[4]));
            Tell(failed == null ? told : Failure(failed));
        }
    }
}
