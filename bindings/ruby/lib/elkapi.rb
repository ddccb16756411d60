# frozen_string_literal: true

require "fiddle"
require "json"

# The client of the ElkAPI chat gateway: libelkapi by its C interface, with Ruby's own words.
#
# Calls that wait for the network do so on a thread of their own without the interpreter's lock, while the
# calling thread waits in Ruby; so Ctrl-C, Timeout.timeout and Thread#raise stop a call at once.
module Elkapi
  # The C functions, by name. Everything here is private to the module.
  module Native
    P, I, L, Z = Fiddle::TYPE_VOIDP, Fiddle::TYPE_INT, Fiddle::TYPE_LONG_LONG, Fiddle::TYPE_SIZE_T
    LIBRARY = Fiddle.dlopen(ENV.fetch("ELKAPI_LIBRARY", "libelkapi.so.0"))

    # Those that may wait give the interpreter's lock up.
    def self.bind(name, returns, *takes, waits: false)
      function = Fiddle::Function.new(LIBRARY[name.to_s], takes, returns, need_gvl: !waits)
      define_singleton_method(name) { |*arguments| function.call(*arguments) }
    end

    bind :elk_version, P
    bind :elk_abi_version, I
    bind :elk_json_quote, Z, P, Z, P, Z
    bind :elk_client_new, P, P, Z, waits: true
    bind :elk_client_with, P, P, P, Z
    bind :elk_client_error, P, P
    bind :elk_chat_completions, P, P, P, Z, P, waits: true
    bind :elk_get, P, P, P, P, waits: true
    bind :elk_chat_completions_stream, P, P, P, Z, P, waits: true
    bind :elk_stream_next, I, P, I, waits: true
    bind :elk_stream_text, P, P, P
    bind :elk_stream_json, P, P, P
    bind :elk_stream_cancel, Fiddle::TYPE_VOID, P
    bind :elk_stream_finish, P, P, waits: true
    bind :elk_cancel_new, P
    bind :elk_cancel_signal, Fiddle::TYPE_VOID, P
    bind :elk_result_status, I, P
    bind :elk_result_message, P, P
    bind :elk_result_verdict, P, P
    bind :elk_result_text, P, P, P
    bind :elk_result_json, P, P, P
    bind :elk_result_body, P, P, P
    bind :elk_result_error, P, P, P
    bind :elk_result_get, P, P, P, P
    bind :elk_result_int, L, P, P, L
    bind :elk_result_count, Z, P, P
    bind :elk_result_type, P, P, P
    bind :elk_result_header, P, P, P
    bind :elk_result_image_count, Z, P
    bind :elk_result_image_bytes, P, P, Z, P
    bind :elk_result_image_media_type, P, P, Z
    bind :elk_result_image_url, P, P, Z
    bind :elk_result_image_save, I, P, Z, P

    unless elk_abi_version.zero?
      raise LoadError, "libelkapi has the binary interface #{elk_abi_version}, this binding needs 0"
    end

    # A NUL-terminated text that is lent, copied; nil for NULL.
    def self.text(pointer) = pointer.null? ? nil : pointer.to_s.force_encoding(Encoding::UTF_8)

    # A text with a length, copied; the block gets a place for the length and gives the pointer.
    def self.sized(encoding = Encoding::UTF_8)
      length = "\0" * Fiddle::SIZEOF_SIZE_T
      pointer = yield length
      pointer.null? ? nil : pointer[0, length.unpack1("J")].force_encoding(encoding)
    end

    # A text as C takes it; bytes are taken for UTF-8.
    def self.utf8(text) = text.encoding == Encoding::BINARY ? text : text.encode(Encoding::UTF_8)

    # A NUL-terminated name for C.
    def self.name(text)
      text = utf8(text.to_s)
      raise ArgumentError, "a name may not contain a NUL" if text.include?("\0")
      text
    end

    # A request or configuration as JSON text.
    def self.json(document) = utf8(document.is_a?(String) ? document : JSON.generate(document))
  end

  # Owns one C object: freed by close when nobody uses it, else by its last user; by the collector at the latest.
  class Handle
    def initialize(pointer, free)
      @pointer = Fiddle::Pointer.new(pointer.to_i, 0, Native::LIBRARY[free])
      @lock = Mutex.new
      @users = 0
      @closed = false
    end

    def use
      @lock.synchronize do
        raise Closed, "it is closed" if @closed
        @users += 1
      end
      begin
        yield @pointer
      ensure
        Thread.handle_interrupt(Object => :never) { @lock.synchronize { free_if_last(-1) } }
      end
    end

    def close
      @lock.synchronize do
        @closed = true
        free_if_last(0)
      end
    end

    private

    def free_if_last(change)
      @users += change
      @pointer.call_free if @closed && @users.zero? && !@pointer.freed?
    end
  end
  private_constant :Native, :Handle

  # Used after it was closed.
  class Closed < IOError; end

  # Stops every call that it is given to, now or later, from any thread and from trap. What interrupts the
  # thread of a call signals the token of that call.
  class Cancel
    attr_reader :token

    def initialize = @token = Fiddle::Pointer.new(Native.elk_cancel_new.to_i, 0, Native::LIBRARY["elk_cancel_free"])
    def signal = Native.elk_cancel_signal(@token)
  end

  # A call that failed. What had arrived is in #answer.
  class Error < StandardError
    attr_reader :answer

    def initialize(answer)
      @answer = answer
      super(answer.message)
    end

    def kind = answer["/error/kind"]
    def status = answer.int("/error/status")
    def code = answer["/error/code"]
    def request_id = answer["/error/request_id"]
    def billed = answer["/error/billed"]
    def retryable? = answer.int("/error/retryable") == 1
    # Seconds that the server asked to wait, or nil.
    def retry_after = answer.int("/error/retry_after_ms")&.fdiv(1000)
    # The whole error document as JSON.
    def document = answer.error_document
  end

  # A picture of an answer; #bytes is nil for a remote one, #url for one that came with the answer.
  class Image
    def initialize(answer, number) = (@answer, @number = answer, number)
    def media_type = @answer.ask { |result| Native.text(Native.elk_result_image_media_type(result, @number)) }
    def url = @answer.ask { |result| Native.text(Native.elk_result_image_url(result, @number)) }

    def bytes
      @answer.ask { |r| Native.sized(Encoding::BINARY) { |length| Native.elk_result_image_bytes(r, @number, length) } }
    end

    def save(path)
      done = @answer.ask { |result| Native.elk_result_image_save(result, @number, Native.name(path)) }
      raise IOError, "the picture could not be saved to #{path}" unless done.zero?
    end
  end

  # What a call brought: text, verdict, pictures, and everything else by JSON Pointer. It never changes.
  class Answer
    def initialize(result) = @handle = Handle.new(result, "elk_result_free")
    def ask(&) = @handle.use(&)
    def close = @handle.close

    def failed? = ask { |result| Native.elk_result_status(result).negative? }
    def message = ask { |result| Native.text(Native.elk_result_message(result)) }
    def verdict = ask { |result| Native.text(Native.elk_result_verdict(result)) }
    def text = sized(:elk_result_text)
    def json = sized(:elk_result_json)
    def body = sized(:elk_result_body)
    def error_document = sized(:elk_result_error)
    def to_h = JSON.parse(json)
    def request_id = self["/call/request_id"]

    # A string's text, anything else as JSON; nil for null and for what is not there.
    def [](pointer)
      ask { |r| Native.sized { |length| Native.elk_result_get(r, Native.name(pointer), length) } }
    end

    def int(pointer, fallback = nil)
      ask do |result|
        low = Native.elk_result_int(result, Native.name(pointer), 0)
        # Where two fallbacks disagree there is no number.
        low.zero? && Native.elk_result_int(result, Native.name(pointer), 1) == 1 ? fallback : low
      end
    end

    def count(pointer) = ask { |result| Native.elk_result_count(result, Native.name(pointer)) }
    def type(pointer) = ask { |result| Native.text(Native.elk_result_type(result, Native.name(pointer))) }
    def header(name) = ask { |result| Native.text(Native.elk_result_header(result, Native.name(name))) }
    def images = Array.new(ask { |result| Native.elk_result_image_count(result) }) { |n| Image.new(self, n) }

    private

    def sized(function) = ask { |result| Native.sized { |length| Native.public_send(function, result, length) } }
  end

  # One event of a stream: what it added to the text, and its JSON.
  Chunk = Struct.new(:text, :json)

  # An answer while it is written. Enumerable over chunks; leaving the block form closes it.
  class Stream
    include Enumerable

    def initialize(stream)
      @handle = Handle.new(stream, "elk_stream_free")
      @turn = Mutex.new
    end

    # The next chunk, nil at the good end.
    def next
      status, chunk = advance(0)
      status, chunk = Elkapi.waiting(self) { advance(-1) } if status == 2
      raise Error, finish if status.negative?
      chunk
    end

    def each
      return enum_for(:each) unless block_given?
      while (chunk = self.next)
        yield chunk
      end
      self
    end

    # The whole answer; reads on to the end, or raises what went wrong.
    def answer
      answer = finish
      raise Error, answer if answer.failed?
      answer
    end

    # Stops it, from any thread.
    def cancel
      @handle.use { |stream| Native.elk_stream_cancel(stream) }
    rescue Closed
      # There is nothing left to stop.
    end
    alias signal cancel

    def close
      cancel
      @handle.close
    end

    private

    def with_stream(&) = @turn.synchronize { @handle.use(&) }

    def advance(wait_ms)
      with_stream do |stream|
        status = Native.elk_stream_next(stream, wait_ms)
        [status, status.zero? ? current(stream) : nil]
      end
    end

    def current(stream)
      Chunk.new(Native.sized { |length| Native.elk_stream_text(stream, length) },
                Native.sized { |length| Native.elk_stream_json(stream, length) })
    end

    def finish
      Elkapi.waiting(self) { with_stream { |stream| @finish ||= Answer.new(Native.elk_stream_finish(stream)) } }
    end
  end

  # A client of one gateway with one key; any number of threads may use it at once.
  class Client
    # The options as a Hash or JSON; what is absent comes from the environment.
    def initialize(options = nil, handle: nil)
      text = options && Native.json(options)
      pointer = handle || Native.elk_client_new(text, text ? text.bytesize : 0)
      @handle = Handle.new(pointer, "elk_client_free")
      broken = @handle.use { |client| Native.elk_client_error(client) }
      return if broken.null?
      # A client answers every call with what is wrong with it; so the error is one of our own.
      raise Error, Answer.new(@handle.use { |client| Native.elk_get(client, "/", nil) })
    end

    # The block form closes the client.
    def self.open(options = nil)
      client = new(options)
      return client unless block_given?
      begin
        yield client
      ensure
        client.close
      end
    end

    # A client with other limits, retries or header fields over the same connections.
    def with(changes)
      text = Native.json(changes)
      Client.new(handle: @handle.use { |client| Native.elk_client_with(client, text, text.bytesize) })
    end

    def chat_completions(request, cancel: nil)
      text = Native.json(request)
      call(cancel) { |client, token| Native.elk_chat_completions(client, text, text.bytesize, token) }
    end

    # The document at a path below the base URL, such as "/models".
    def get(path, cancel: nil)
      path = Native.name(path)
      call(cancel) { |client, token| Native.elk_get(client, path, token) }
    end

    # Opens a stream; with a block yields it and closes it afterwards.
    def stream(request, cancel: nil)
      text, own = Native.json(request), cancel || Cancel.new
      stream = Elkapi.waiting(own) do
        @handle.use do |client|
          Stream.new(Native.elk_chat_completions_stream(client, text, text.bytesize, own.token))
        end
      end
      return stream unless block_given?
      begin
        yield stream
      ensure
        stream.close
      end
    end

    def close = @handle.close

    private

    def call(cancel, &native)
      own = cancel || Cancel.new
      answer = Elkapi.waiting(own) { @handle.use { |client| Answer.new(native.call(client, own.token)) } }
      raise Error, answer if answer.failed?
      answer
    end
  end

  class << self
    def version = Native.text(Native.elk_version)

    # Runs a native wait on a thread of its own; whatever interrupts the calling thread stops the wait by signal.
    # The thread holds what it uses, because an interrupt may come between any two steps here.
    def waiting(stop)
      done = false
      worker = Thread.new do
        Thread.current.report_on_exception = false
        yield
      ensure
        done = true
      end
      worker.value
    ensure
      unless done
        stop.signal
        worker&.join
      end
    end
  end
end
