# frozen_string_literal: true

# Does what tests/languages/run.py says, a line of JSON texts between tabs each, and tells what it saw.
require "elkapi"

$stdout.sync = true

def tell(facts) = puts(JSON.generate(facts))

def facts(answer)
  { text: answer.text, verdict: answer.verdict, status: answer.int("/call/status"), model: answer["/model"],
    tokens: answer.int("/usage/total_tokens"), request_id: answer.request_id, nothing: answer["/nothing/here"],
    choices: answer.count("/choices"), type: answer.type("/choices/0/message"), media: answer.header("content-type"),
    models: answer.count("/data") }
end

def failure(error)
  { kind: error.kind, status: error.status, request_id: error.request_id, retryable: error.retryable?,
    billed: error.billed, message: error.message, partial: error.answer.text, verdict: error.answer.verdict,
    retry_after_ms: error.retry_after && (error.retry_after * 1000).to_i }
end

def after(good) = Elkapi::Client.open(good) { |c| c.chat_completions(MOSS).text }
MOSS = '{"messages":[{"role":"user","content":"Hi"}],"sim":{"text":"Moss"}}'

def read(client, request, told, limit: nil)
  told.merge!(chunks: 0, text: +"")
  client.stream(request) do |stream|
    stream.each do |chunk|
      told[:chunks] += 1
      told[:text] << chunk.text
      told[:json] = chunk.json.start_with?("{") && JSON.parse(chunk.json).key?("choices")
      yield chunk if block_given?
      return if told[:chunks] == limit
    end
    whole = stream.answer
    told.merge!(whole: whole.text, verdict: whole.verdict, tokens: whole.int("/usage/total_tokens"))
  end
end

def stopping(client, request, how, cancel)
  return client.chat_completions(request, cancel: cancel) if how == "unary"
  client.stream(request, cancel: cancel) do |stream|
    begun = false
    stream.each do |chunk|
      next if begun || chunk.text.empty?
      begun = true
      tell(begun: true)
    end
  end
end

def closed?
  yield
  false
rescue Elkapi::Closed
  true
end

def open_client(config) = config.empty? ? Elkapi::Client.new : Elkapi::Client.new(config)

def drive(what, config, request, argument, good)
  case what
  when "version" then { version: Elkapi.version }
  when "ask"
    client = open_client(config)
    client = client.with(argument) unless argument.empty?
    # Ruby's strings know their encoding; the gateway wants UTF-8.
    facts(client.chat_completions(request.encode("UTF-16LE")))
  when "get" then facts(open_client(config).get(argument))
  when "stream", "first"
    told = {}
    begin
      first = what == "first"
      read(open_client(config), request, told, limit: argument.empty? ? nil : argument.to_i) do |chunk|
        tell(first: chunk.text) if first && !chunk.text.empty?
        first &&= chunk.text.empty?
      end
      told[:after] = after(good) unless argument.empty?
    rescue Elkapi::Error => error
      told.merge!(failure(error))
    end
    told
  when "cancel"
    client, cancel, failed = open_client(config), Elkapi::Cancel.new, nil
    tell(waiting: true)
    worker = Thread.new do
      stopping(client, request, argument, cancel)
    rescue Elkapi::Error => error
      failed = error
    end
    $stdin.gets
    started = Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond)
    cancel.signal
    worker.join
    tell(failure(failed).merge(ms: Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond) - started))
    { after: after(good) }
  when "interrupt"
    client = open_client(config)
    tell(waiting: true)
    begin
      stopping(client, request, argument, nil)
    rescue Interrupt
      tell(interrupted: true)
    end
    { after: after(good) }
  when "concurrent"
    client = open_client(config)
    threads = Array.new(argument.to_i) { Thread.new { client.chat_completions(request).text } }
    { texts: threads.map(&:value).join(",") }
  when "picture"
    images = open_client(config).chat_completions(request).images
    images[0].save(argument)
    { images: images.size, media_type: images[0].media_type, bytes: images[0].bytes.bytesize }
  when "forget"
    made = Array.new(argument.to_i) { open_client(config).chat_completions(request).text }.size
    Array.new(1000) { Object.new }
    GC.start
    { made: made }
  when "close"
    clients = Array.new(argument.to_i) { open_client(config) }
    answers = clients.map { |one| one.chat_completions(request) }
    2.times { answers.each(&:close) }
    2.times { clients.each(&:close) }
    { made: clients.size, refused: closed? { clients[0].chat_completions(request) },
      answer_refused: closed? { answers[0].text } }
  end
end

while (line = $stdin.gets)
  begin
    tell(drive(*line.force_encoding("UTF-8").chomp.split("\t", -1)))
  rescue Elkapi::Error => error
    tell(failure(error))
  end
end
