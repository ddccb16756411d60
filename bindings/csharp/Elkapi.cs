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
    /// The C functions. A handle among the arguments is held while C uses it.
    static class Native
    {
        const string Library = "libelkapi.so.0";

        [DllImport(Library)] internal static extern IntPtr elk_version();
        [DllImport(Library)] internal static extern uint elk_abi_version();
        [DllImport(Library)] internal static extern IntPtr elk_status_name(int status);
        [DllImport(Library)] internal static extern UIntPtr elk_json_quote(byte[] to, UIntPtr cap, byte[] text, UIntPtr len);
        [DllImport(Library)] internal static extern IntPtr elk_client_new(byte[] text, UIntPtr len);
        [DllImport(Library)] internal static extern IntPtr elk_client_with(Handle client, byte[] text, UIntPtr len);
        [DllImport(Library)] internal static extern IntPtr elk_client_error(Handle client);
        [DllImport(Library)] internal static extern void elk_client_free(IntPtr client);
        [DllImport(Library)] internal static extern IntPtr elk_chat_completions(Handle client, byte[] text, UIntPtr len, Handle cancel);
        [DllImport(Library)] internal static extern IntPtr elk_get(Handle client, byte[] path, Handle cancel);
        [DllImport(Library)] internal static extern IntPtr elk_chat_completions_stream(Handle client, byte[] text, UIntPtr len, Handle cancel);
        [DllImport(Library)] internal static extern int elk_stream_next(Handle stream, int wait);
        [DllImport(Library)] internal static extern IntPtr elk_stream_text(Handle stream, out UIntPtr len);
        [DllImport(Library)] internal static extern IntPtr elk_stream_json(Handle stream, out UIntPtr len);
        [DllImport(Library)] internal static extern void elk_stream_cancel(Handle stream);
        [DllImport(Library)] internal static extern IntPtr elk_stream_finish(Handle stream);
        [DllImport(Library)] internal static extern void elk_stream_free(IntPtr stream);
        [DllImport(Library)] internal static extern IntPtr elk_cancel_new();
        [DllImport(Library)] internal static extern void elk_cancel_signal(Handle cancel);
        [DllImport(Library)] internal static extern void elk_cancel_free(IntPtr cancel);
        [DllImport(Library)] internal static extern int elk_result_status(Handle result);
        [DllImport(Library)] internal static extern IntPtr elk_result_message(Handle result);
        [DllImport(Library)] internal static extern IntPtr elk_result_verdict(Handle result);
        [DllImport(Library)] internal static extern IntPtr elk_result_text(Handle result, out UIntPtr len);
        [DllImport(Library)] internal static extern IntPtr elk_result_json(Handle result, out UIntPtr len);
        [DllImport(Library)] internal static extern IntPtr elk_result_get(Handle result, byte[] pointer, out UIntPtr len);
        [DllImport(Library)] internal static extern long elk_result_int(Handle result, byte[] pointer, long fallback);
        [DllImport(Library)] internal static extern UIntPtr elk_result_count(Handle result, byte[] pointer);
        [DllImport(Library)] internal static extern IntPtr elk_result_type(Handle result, byte[] pointer);
        [DllImport(Library)] internal static extern IntPtr elk_result_header(Handle result, byte[] name);
        [DllImport(Library)] internal static extern UIntPtr elk_result_image_count(Handle result);
        [DllImport(Library)] internal static extern IntPtr elk_result_image_bytes(Handle result, UIntPtr i, out UIntPtr len);
        [DllImport(Library)] internal static extern IntPtr elk_result_image_media_type(Handle result, UIntPtr i);
        [DllImport(Library)] internal static extern IntPtr elk_result_image_url(Handle result, UIntPtr i);
        [DllImport(Library)] internal static extern int elk_result_image_save(Handle result, UIntPtr i, byte[] path);
        [DllImport(Library)] internal static extern void elk_result_free(IntPtr result);

        static Native()
        {
            if (elk_abi_version() != 0) throw new DllNotFoundException("libelkapi has another binary interface than this binding");
        }

        internal static UIntPtr Length(byte[] text) => (UIntPtr)(text == null ? 0 : text.Length);

        internal static byte[] Name(string text)
        {
            if (text.IndexOf('\0') >= 0) throw new ArgumentException("a name may not contain a NUL");
            return Encoding.UTF8.GetBytes(text + "\0");
        }

        /// A NUL-terminated text, copied.
        internal static string Text(IntPtr lent)
        {
            int length = 0;
            while (lent != IntPtr.Zero && Marshal.ReadByte(lent, length) != 0) length++;
            return Text(Copy(lent, length));
        }

        internal static string Text(byte[] utf8) => utf8 == null ? null : Encoding.UTF8.GetString(utf8);

        internal static byte[] Copy(IntPtr lent, int length)
        {
            if (lent == IntPtr.Zero) return null;
            var bytes = new byte[length];
            Marshal.Copy(lent, bytes, 0, length);
            return bytes;
        }
    }

    /// Owns one C object: freed by Dispose when nobody uses it, else by its last user.
    sealed class Handle : SafeHandle
    {
        internal delegate IntPtr Sized(Handle owner, out UIntPtr length);

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

        /// Holds it until what C lends is copied.
        T Held<T>(Func<T> copy)
        {
            bool held = false;
            try
            {
                DangerousAddRef(ref held); // ObjectDisposedException after Dispose
                return copy();
            }
            finally
            {
                if (held) DangerousRelease();
            }
        }

        internal string Word(Func<Handle, IntPtr> lend) => Held(() => Native.Text(lend(this)));
        internal byte[] Bytes(Sized lend) => Held(() => Native.Copy(lend(this, out var length), (int)length));
        internal string Text(Sized lend) => Native.Text(Bytes(lend));
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

    /// What a call brought. It never changes; any number of threads may read it.
    public sealed class Answer : IDisposable
    {
        readonly Handle result;

        internal Answer(IntPtr result) { this.result = new Handle(result, Native.elk_result_free); }

        internal string Message => result.Word(Native.elk_result_message);
        public string Verdict => result.Word(Native.elk_result_verdict);
        public string Text => result.Text(Native.elk_result_text);
        public string Json => result.Text(Native.elk_result_json);
        public string RequestId => Get("/call/request_id");

        /// A string's text, anything else as JSON; null for null and for what is not there.
        public string Get(string pointer) =>
            result.Text((Handle r, out UIntPtr length) => Native.elk_result_get(r, Native.Name(pointer), out length));
        public long? Number(string pointer) =>
            Type(pointer) == "number" ? Native.elk_result_int(result, Native.Name(pointer), 0) : (long?)null;
        public int Count(string pointer) => (int)Native.elk_result_count(result, Native.Name(pointer));
        public string Type(string pointer) => result.Word(r => Native.elk_result_type(r, Native.Name(pointer)));
        public string Header(string name) => result.Word(r => Native.elk_result_header(r, Native.Name(name)));

        public IReadOnlyList<Image> Images =>
            Enumerable.Range(0, (int)Native.elk_result_image_count(result)).Select(i => new Image(result, (UIntPtr)i)).ToList();

        public void Dispose() => result.Dispose();

        /// The answer, or the exception that it is.
        internal Answer Checked(CancellationToken cancel)
        {
            if (Native.elk_result_status(result) >= 0) return this;
            var error = new ElkapiException(this);
            if (error.Kind == "cancelled" && cancel.IsCancellationRequested)
                throw new OperationCanceledException(error.Message, error, cancel);
            throw error;
        }
    }

    /// A picture of an answer. Bytes is null for a remote one, Url for one that came with the answer.
    public sealed class Image
    {
        readonly Handle result;
        readonly UIntPtr number;

        internal Image(Handle result, UIntPtr number) { this.result = result; this.number = number; }

        public string MediaType => result.Word(r => Native.elk_result_image_media_type(r, number));
        public string Url => result.Word(r => Native.elk_result_image_url(r, number));
        public byte[] Bytes => result.Bytes((Handle r, out UIntPtr length) => Native.elk_result_image_bytes(r, number, out length));

        public void Save(string path)
        {
            int status = Native.elk_result_image_save(result, number, Native.Name(path));
            if (status < 0) throw new IOException($"{path}: {Native.Text(Native.elk_status_name(status))}");
        }
    }

    /// A token of the library that a CancellationToken signals.
    sealed class Token : IDisposable
    {
        internal readonly Handle Handle = new Handle(Native.elk_cancel_new(), Native.elk_cancel_free);
        readonly CancellationTokenRegistration registration;

        internal Token(CancellationToken cancel) { registration = cancel.Register(() => Native.elk_cancel_signal(Handle)); }

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
                chunk = default(Chunk);
                int status = Native.elk_stream_next(stream, -1);
                if (status < 0) Finish();
                if (status == 0)
                {
                    chunk.Text = stream.Text(Native.elk_stream_text);
                    chunk.Json = stream.Text(Native.elk_stream_json);
                }
                return status == 0;
            }
        }

        public IEnumerator<Chunk> GetEnumerator()
        {
            bool ended = false;
            try
            {
                Chunk chunk; // mcs cannot declare it in place here
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
            answer = answer ?? new Answer(Native.elk_stream_finish(stream));
            token.Dispose(); // a CancellationTokenSource may live long
            return answer.Checked(cancel);
        }

        public void Dispose()
        {
            try { Native.elk_stream_cancel(stream); } catch (ObjectDisposedException) { return; }
            stream.Dispose();
            token.Dispose();
        }
    }

    /// A client of one gateway with one key; any number of threads may use it.
    public sealed class Client : IDisposable
    {
        readonly Handle client;

        /// The options as JSON text; what is absent comes from the environment.
        public Client(string options = null) : this(options == null ? null : Encoding.UTF8.GetBytes(options)) { }

        Client(byte[] options) : this(Native.elk_client_new(options, Native.Length(options))) { }

        Client(IntPtr made)
        {
            client = new Handle(made, Native.elk_client_free);
            // A client that cannot be used answers every call with the reason.
            if (Native.elk_client_error(client) != IntPtr.Zero) Get("/");
        }

        /// A client with other limits, retries or header fields over the same connections.
        public Client With(string changes)
        {
            var text = Encoding.UTF8.GetBytes(changes);
            return new Client(Native.elk_client_with(client, text, Native.Length(text)));
        }

        public Answer ChatCompletions(string request, CancellationToken cancel = default(CancellationToken))
        {
            var text = Encoding.UTF8.GetBytes(request);
            return Call(token => Native.elk_chat_completions(client, text, Native.Length(text), token), cancel);
        }

        /// On a thread of its own, because it waits.
        public Task<Answer> ChatCompletionsAsync(string request, CancellationToken cancel = default(CancellationToken)) =>
            Task.Factory.StartNew(() => ChatCompletions(request, cancel), cancel, TaskCreationOptions.LongRunning, TaskScheduler.Default);

        /// The document at a path below the base URL, such as "/models".
        public Answer Get(string path, CancellationToken cancel = default(CancellationToken))
        {
            var named = Native.Name(path);
            return Call(token => Native.elk_get(client, named, token), cancel);
        }

        static Answer Call(Func<Handle, IntPtr> wait, CancellationToken cancel)
        {
            using (var token = new Token(cancel)) return new Answer(wait(token.Handle)).Checked(cancel);
        }

        /// Waits for the reply's header fields; a refusal comes from the first chunk.
        public Stream Stream(string request, CancellationToken cancel = default(CancellationToken))
        {
            var text = Encoding.UTF8.GetBytes(request);
            var token = new Token(cancel);
            return new Stream(
                Native.elk_chat_completions_stream(client, text, Native.Length(text), token.Handle), token, cancel);
        }

        public void Dispose() => client.Dispose();
    }
}
