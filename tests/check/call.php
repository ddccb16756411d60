<?php
// One call through PHP's FFI. Usage: call.php HEADER LIBRARY
$elk = FFI::cdef(file_get_contents($argv[1]), $argv[2]);

$client = $elk->elk_client_new(null, 0);
$request = '{"messages":[{"role":"user","content":"Hi"}],"sim":{"text":"Moss"}}';
$answer = $elk->elk_chat_completions($client, $request, strlen($request), null);
if ($elk->elk_result_status($answer) !== $elk->ELK_OK) {
    exit($elk->elk_result_message($answer) . "\n");
}
// FFI gives a const char * as a string up to its NUL.
$refused = $elk->elk_get($client, "/nowhere", null);
if ($elk->elk_result_status($refused) !== $elk->ELK_E_NOT_FOUND) {
    exit("not refused\n");
}
printf("elkapi %s: %s, status %d; %s %d\n", $elk->elk_version(), $elk->elk_result_text($answer, null),
    $elk->elk_result_status($answer), $elk->elk_status_name($elk->ELK_E_NOT_FOUND), $elk->ELK_E_NOT_FOUND);
$elk->elk_result_free($refused);
$elk->elk_result_free($answer);
$elk->elk_client_free($client);
