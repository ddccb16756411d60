// The client of the ElkAPI chat gateway: libelkapi by its C interface, with C#'s own words.
//
// A CancellationToken stops a call at once, in whatever phase it is. Everything frees itself; Dispose frees at once.

using System;
using System.Collections;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Runtime.InteropServices;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

namespace Elkapi
{
    static class Native
    {
        const string Library = "libelkapi.so.0";

        [DllImport(Library)] internal static extern IntPtr elk_version();
        [DllImport(Library)] internal static extern uint elk_abi_version();
        [DllImport(Library)] internal static extern IntPtr elk_status_name(int status);
        [DllImport(Library)] internal static extern UIntPtr elk_json_quote(byte[] to, UIntPtr cap, byte[] text, UIntPtr len);
        [DllImport(Library)] internal static extern IntPtr elk_client_new(byte[] text, UIntPtr len);
        [DllImport(Library)] internal static extern IntPtr elk_client_with(IntPtr client, byte[] text, UIntPtr len);
        [DllImport(Library)] internal static extern IntPtr elk_client_error(IntPtr client);
        [DllImport(Library)] internal static extern void elk_client_free(IntPtr client);
        [DllImport(Library)] internal static extern IntPtr elk_chat_completions(IntPtr client, byte[] text, UIntPtr len, IntPtr cancel);
        [DllImport(Library)] internal static extern IntPtr elk_get(IntPtr client, byte[] path, IntPtr cancel);
        [DllImport(Library)] internal static extern IntPtr elk_chat_completions_stream(IntPtr client, byte[] text, UIntPtr len, IntPtr cancel);
        [DllImport(Library)] internal static extern int elk_stream_next(IntPtr stream, int wait);
        [DllImport(Library)] internal static extern IntPtr elk_stream_text(IntPtr stream, out UIntPtr len);
        [DllImport(Library)] internal static extern IntPtr elk_stream_json(IntPtr stream, out UIntPtr len);
        [DllImport(Library)] internal static extern void elk_stream_cancel(IntPtr stream);
        [DllImport(Library)] internal static extern IntPtr elk_stream_finish(IntPtr stream);
        [DllImport(Library)] internal static extern void elk_stream_free(IntPtr stream);
        [DllImport(Library)] internal static extern IntPtr elk_cancel_new();
        [DllImport(Library)] internal static extern void elk_cancel_signal(IntPtr cancel);
        [DllImport(Library)] internal static extern void elk_cancel_free(IntPtr cancel);
        [DllImport(Library)] internal static extern int elk_result_status(IntPtr result);
        [DllImport(Library)] internal static extern IntPtr elk_result_message(IntPtr result);
        [DllImport(Library)] internal static extern IntPtr elk_result_verdict(IntPtr result);
        [DllImport(Library)] internal static extern IntPtr elk_result_text(IntPtr result, out UIntPtr len);
        [DllImport(Library)] internal static extern IntPtr elk_result_json(IntPtr result, out UIntPtr len);
        [DllImport(Library)] internal static extern IntPtr elk_result_get(IntPtr result, byte[] pointer, out UIntPtr len);
        [DllImport(Library)] internal static extern long elk_result_int(IntPtr result, byte[] pointer, long fallback);
        [DllImport(Library)] internal static extern UIntPtr elk_result_count(IntPtr result, byte[] pointer);
        [DllImport(Library)] internal static extern IntPtr elk_result_type(IntPtr result, byte[] pointer);
        [DllImport(Library)] internal static extern IntPtr elk_result_header(IntPtr result, byte[] name);
        [DllImport(Library)] internal static extern UIntPtr elk_result_image_count(IntPtr result);
        [DllImport(Library)] internal static extern IntPtr elk_result_image_bytes(IntPtr result, UIntPtr i, out UIntPtr len);
        [DllImport(Library)] internal static extern IntPtr elk_result_image_media_type(IntPtr result, UIntPtr i);
        [DllImport(Library)] internal static extern IntPtr elk_result_image_url(IntPtr result, UIntPtr i);
        [DllImport(Library)] internal static extern int elk_result_image_save(IntPtr result, UIntPtr i, byte[] path);
        [DllImport(Library)] internal static extern void elk_result_free(IntPtr result);

        static Native()
        {
            if (elk_abi_version() != 0) throw new DllNotFoundException("libelkapi has another binary interface than this binding");
        }

        internal delegate IntPtr Sized(out UIntPtr length);

        internal static byte[] Bytes(Sized from)
        {
            var pointer = from(out var length);
            if (pointer == IntPtr.Zero) return null;
            var bytes = new byte[(int)length];
            Marshal.Copy(pointer, bytes, 0, bytes.Length);
            return bytes;
        }

        internal static string Text(Sized from)
        {
            var bytes = Bytes(from);
            return bytes == null ? null : Encoding.UTF8.GetString(bytes);
        }

        /// A NUL-terminated text that is lent, copied.
        internal static string Text(IntPtr pointer) => Text((out UIntPtr length) =>
        {
            int end = 0;
            while (pointer != IntPtr.Zero && Marshal.ReadByte(pointer, end) != 0) end++;
            length = (UIntPtr)end;
            return pointer;
        });

        internal static byte[] Name(string text)
        {
            if (text.IndexOf('\0') >= 0) throw new ArgumentException("a name may not contain a NUL");
            return Encoding.UTF8.GetBytes(text + "\0");
        }

        internal static UIntPtr Length(byte[] text) => (UIntPtr)(text == null ? 0 : text.Length);
    }

    /// Owns one C object: freed by Dispose when nobody uses it, else by its last user.
    sealed class Handle : SafeHandle
    {
        readonly Action<IntPtr> free;

        internal Handle(IntPtr pointer, Action<IntPtr> free) : base(IntPtr.Zero, true)
        {
            this.free = free;
            SetHandle(pointer);
        }

        public override bool IsInvalid => handle == IntPtr.Zero;

        protected override bool ReleaseHandle()
        {
            free(handle);
            return true;
        }

        internal T Use<T>(Func<IntPtr, T> with)
        {
            bool held = false;
            try
            {
                DangerousAddRef(ref held); // ObjectDisposedException after Dispose
                return with(handle);
            }
            finally
            {
                if (held) DangerousRelease();
            }
        }
    }

    public static class Library
    {
        public static string Version => Native.Text(Native.elk_version());

        /// A text as a JSON string, quotes included, to stand in a request.
        public static string Quote(string text)
        {
            var bytes = Encoding.UTF8.GetBytes(text);
            var quoted = new byte[(int)Native.elk_json_quote(null, UIntPtr.Zero, bytes, Native.Length(bytes)) + 1];
            Native.elk_json_quote(quoted, Native.Length(quoted), bytes, Native.Length(bytes));
            return Encoding.UTF8.GetString(quoted, 0, quoted.Length - 1);
        }
    }

    /// A failed call with its facts; what had arrived is in Answer. A call that its CancellationToken stopped throws
    /// OperationCanceledException, with one of these inside.
    public class ElkapiException : Exception
    {
        public Answer Answer { get; }
        public string Kind => Answer.Get("/error/kind");
        public int? Status => (int?)Answer.Number("/error/status");
        public string Code => Answer.Get("/error/code");
        public string RequestId => Answer.Get("/error/request_id");
        public bool Retryable => Answer.Get("/error/retryable") == "true";
        public string Billed => Answer.Get("/error/billed");
        public TimeSpan? RetryAfter =>
            Answer.Number("/error/retry_after_ms") is long wait ? TimeSpan.FromMilliseconds(wait) : (TimeSpan?)null;

        internal ElkapiException(Answer answer) : base(answer.Message) { Answer = answer; }
    }

    /// A picture. Bytes is null for a remote one, Url for one that came with the answer.
    public sealed class Image
    {
        public string MediaType { get; internal set; }
        public string Url { get; internal set; }
        public byte[] Bytes { get; internal set; }
        internal Func<byte[], int> Saver;

        public void Save(string path)
        {
            int status = Saver(Native.Name(path));
            if (status < 0) throw new IOException($"{path}: {Native.Text(Native.elk_status_name(status))}");
        }
    }

    /// What a call brought. It never changes; any number of threads may read it.
    public sealed class Answer : IDisposable
    {
        readonly Handle result;

        internal Answer(IntPtr result) { this.result = new Handle(result, Native.elk_result_free); }

        internal bool Failed => result.Use(Native.elk_result_status) < 0;
        internal string Message => result.Use(r => Native.Text(Native.elk_result_message(r)));
        public string Verdict => result.Use(r => Native.Text(Native.elk_result_verdict(r)));
        public string Text => result.Use(r => Native.Text((out UIntPtr n) => Native.elk_result_text(r, out n)));
        public string Json => result.Use(r => Native.Text((out UIntPtr n) => Native.elk_result_json(r, out n)));
        public string RequestId => Get("/call/request_id");

        /// A string's text, anything else as JSON; null for null and for what is not there.
        public string Get(string pointer) =>
            result.Use(r => Native.Text((out UIntPtr n) => Native.elk_result_get(r, Native.Name(pointer), out n)));
        public long? Number(string pointer) => Type(pointer) == "number"
            ? result.Use(r => Native.elk_result_int(r, Native.Name(pointer), 0)) : (long?)null;
        public int Count(string pointer) => result.Use(r => (int)Native.elk_result_count(r, Native.Name(pointer)));
        public string Type(string pointer) => result.Use(r => Native.Text(Native.elk_result_type(r, Native.Name(pointer))));
        public string Header(string name) => result.Use(r => Native.Text(Native.elk_result_header(r, Native.Name(name))));

        public IReadOnlyList<Image> Images => result.Use(r => Enumerable.Range(0, (int)Native.elk_result_image_count(r))
            .Select(number => (UIntPtr)number).Select(i => new Image
            {
                MediaType = Native.Text(Native.elk_result_image_media_type(r, i)),
                Url = Native.Text(Native.elk_result_image_url(r, i)),
                Bytes = Native.Bytes((out UIntPtr n) => Native.elk_result_image_bytes(r, i, out n)),
                Saver = path => result.Use(again => Native.elk_result_image_save(again, i, path)),
            }).ToList());

        public void Dispose() => result.Dispose();

        /// The answer, or the exception that it is.
        internal Answer Checked(CancellationToken cancel)
        {
            if (!Failed) return this;
            var error = new ElkapiException(this);
            if (error.Kind == "cancelled" && cancel.IsCancellationRequested)
                throw new OperationCanceledException(error.Message, error, cancel);
            throw error;
        }
    }

    /// A token of the library that a CancellationToken signals.
    sealed class Token : IDisposable
    {
        internal readonly Handle Handle = new Handle(Native.elk_cancel_new(), Native.elk_cancel_free);
        readonly CancellationTokenRegistration registration;

        internal Token(CancellationToken cancel)
        {
            var handle = Handle;
            registration = cancel.Register(() => handle.Use(t => { Native.elk_cancel_signal(t); return 0; }));
        }

        public void Dispose()
        {
            registration.Dispose();
            Handle.Dispose();
        }
    }

    /// One event of a stream: what it added to the text, and its JSON.
    public struct Chunk
    {
        public string Text { get; internal set; }
        public string Json { get; internal set; }
    }

    /// An answer while it is written. Leaving a foreach early and Dispose stop it.
    public sealed class Stream : IEnumerable<Chunk>, IDisposable
    {
        readonly Handle stream;
        readonly Token token;
        readonly CancellationToken cancel;
        readonly object turn = new object();
        Answer answer;

        internal Stream(IntPtr stream, Token token, CancellationToken cancel)
        {
            this.stream = new Handle(stream, Native.elk_stream_free);
            this.token = token;
            this.cancel = cancel;
        }

        /// Waits for the next chunk; false at the good end.
        public bool Next(out Chunk chunk)
        {
            lock (turn)
            {
                var arrived = default(Chunk);
                int status = stream.Use(s =>
                {
                    int next = Native.elk_stream_next(s, -1);
                    if (next != 0) return next;
                    arrived.Text = Native.Text((out UIntPtr n) => Native.elk_stream_text(s, out n));
                    arrived.Json = Native.Text((out UIntPtr n) => Native.elk_stream_json(s, out n));
                    return next;
                });
                chunk = arrived;
                if (status < 0) Finish();
                return status == 0;
            }
        }

        public IEnumerator<Chunk> GetEnumerator()
        {
            bool ended = false;
            try
            {
                Chunk chunk;
                while (Next(out chunk)) yield return chunk;
                ended = true;
            }
            finally
            {
                if (!ended) Dispose();
            }
        }

        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

        /// Reads on to the end and gives the whole answer.
        public Answer Answer() { lock (turn) return Finish(); }

        Answer Finish()
        {
            answer = answer ?? new Answer(stream.Use(Native.elk_stream_finish));
            return answer.Checked(cancel);
        }

        public void Dispose()
        {
            if (stream.IsClosed) return;
            stream.Use(s => { Native.elk_stream_cancel(s); return 0; });
            stream.Dispose();
            token.Dispose();
        }
    }

    /// A client of one gateway with one key; any number of threads may use it.
    public sealed class Client : IDisposable
    {
        readonly Handle client;

        /// The options as JSON text; what is absent comes from the environment.
        public Client(string options = null) : this(New(options)) { }

        static IntPtr New(string options)
        {
            var text = options == null ? null : Encoding.UTF8.GetBytes(options);
            return Native.elk_client_new(text, Native.Length(text));
        }

        Client(IntPtr made)
        {
            client = new Handle(made, Native.elk_client_free);
            // A client that cannot be used answers every call with the reason.
            if (Native.elk_client_error(made) != IntPtr.Zero) Get("/");
        }

        /// A client with other limits, retries or header fields over the same connections.
        public Client With(string changes)
        {
            var text = Encoding.UTF8.GetBytes(changes);
            return new Client(client.Use(c => Native.elk_client_with(c, text, Native.Length(text))));
        }

        public Answer ChatCompletions(string request, CancellationToken cancel = default(CancellationToken))
        {
            var text = Encoding.UTF8.GetBytes(request);
            return Call((c, t) => Native.elk_chat_completions(c, text, Native.Length(text), t), cancel);
        }

        /// On a thread of its own, because it waits.
        public Task<Answer> ChatCompletionsAsync(string request, CancellationToken cancel = default(CancellationToken)) =>
            Task.Factory.StartNew(() => ChatCompletions(request, cancel), cancel, TaskCreationOptions.LongRunning, TaskScheduler.Default);

        /// The document at a path below the base URL, such as "/models".
        public Answer Get(string path, CancellationToken cancel = default(CancellationToken)) =>
            Call((c, t) => Native.elk_get(c, Native.Name(path), t), cancel);

        Answer Call(Func<IntPtr, IntPtr, IntPtr> native, CancellationToken cancel)
        {
            using (var token = new Token(cancel))
                return new Answer(client.Use(c => token.Handle.Use(t => native(c, t)))).Checked(cancel);
        }

        /// Waits for the reply's header fields; a refusal comes from the first chunk.
        public Stream Stream(string request, CancellationToken cancel = default(CancellationToken))
        {
            var text = Encoding.UTF8.GetBytes(request);
            var token = new Token(cancel);
            return new Stream(client.Use(c => token.Handle.Use(t =>
                Native.elk_chat_completions_stream(c, text, Native.Length(text), t))), token, cancel);
        }

        public void Dispose() => client.Dispose();
    }
}
