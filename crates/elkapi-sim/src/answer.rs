//! What the gateway's model says: text that depends on the prompt and on nothing else.
//!
//! Pure. Also cuts text into the pieces that a stream delivers and that count as tokens.

use std::ops::Range;

use serde_json::Value;

use crate::clock::fingerprint;

/// How much of the prompt an answer repeats.
const QUOTED_CHARACTERS: usize = 60;

/// The text of a message's content: the string, or the text parts of an array put together.
pub(crate) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

/// How many parts of a message are something else than text.
pub(crate) fn attachments_of(content: &Value) -> usize {
    content.as_array().map_or(0, |parts| {
        parts.iter().filter(|part| part["type"].as_str().is_some_and(|kind| kind != "text")).count()
    })
}

/// The answer to a prompt, in Japanese for a Japanese one.
pub(crate) fn answer_to(prompt: &str, attachments: usize) -> String {
    let number = fingerprint(prompt);
    let mut answer =
        if is_japanese(prompt) { in_japanese(prompt, number) } else { in_english(prompt, number) };
    if attachments > 0 {
        let plural = if attachments == 1 { "" } else { "s" };
        answer.push_str(&format!(" ({attachments} attachment{plural} received.)"));
    }
    answer
}

/// The answer once a tool has told its result.
pub(crate) fn answer_to_tool(result: &str) -> String {
    format!("The tool answered: {}", shortened(result))
}

fn in_english(prompt: &str, number: u64) -> String {
    let lower = prompt.trim().to_ascii_lowercase();
    match lower.trim_end_matches(['.', '!', '?']) {
        "" => return "You sent no text. What would you like to know?".to_owned(),
        "hello" | "hi" | "hey" => return "Hello! How can I help you today?".to_owned(),
        "name three seas" => {
            return "The Baltic Sea, the Coral Sea and the Sea of Japan.".to_owned();
        }
        _ => {}
    }
    if lower.contains("introduce yourself") || lower.contains("who are you") {
        return "Hello! I am elkapi-sim, a gateway that runs on your own machine. I answer every prompt the \
                same way each time, so that your tests stay calm."
            .to_owned();
    }
    const REMARKS: [&str; 6] = [
        "Here is a calm answer to it, the same each time you ask.",
        "An elk would look at it for a while, and then agree.",
        "There are three sides to that, and all of them are wet in November.",
        "The short answer is yes; the long answer is also yes, only later.",
        "It depends on the season, on the forest, and on who is asking.",
        "Take it step by step, and rest where the moss is deep.",
    ];
    format!("You said \"{}\". {}", shortened(prompt), REMARKS[(number % 6) as usize])
}

fn in_japanese(prompt: &str, number: u64) -> String {
    if prompt.contains("自己紹介") {
        return "こんにちは！私は elkapi-sim です。あなたのパソコンの中で動く、テスト用の小さなゲートウェイです。\
                同じ質問には、いつも同じ答えを返します。どうぞよろしくお願いします。"
            .to_owned();
    }
    if prompt.trim_end_matches(['。', '！', '!']).trim() == "こんにちは" {
        return "こんにちは！今日はどのようなご用件でしょうか？".to_owned();
    }
    const REMARKS: [&str; 4] = [
        "何度聞かれても、同じ答えをお返しします。",
        "ヘラジカなら、しばらく考えてからうなずくでしょう。",
        "一歩ずつ進めば、きっと大丈夫です。",
        "季節と森によりますが、答えは「はい」です。",
    ];
    format!("「{}」についてですね。{}", shortened(prompt), REMARKS[(number % 4) as usize])
}

fn shortened(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(QUOTED_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn is_japanese(text: &str) -> bool {
    // Kana always mean Japanese; without any, ideographs are taken for it too.
    text.chars().any(|c| matches!(c, '\u{3040}'..='\u{30FF}' | '\u{4E00}'..='\u{9FFF}'))
}

/// Cuts text into words (each with the space before it) and, where there are no spaces, into runs
/// of a few characters.
pub(crate) fn pieces(text: &str) -> Vec<Range<usize>> {
    const LONGEST_RUN: usize = 6;
    let mut pieces = Vec::new();
    let (mut start, mut wide) = (0, 0);
    let mut previous = ' ';
    for (at, c) in text.char_indices() {
        let new_word = c == ' ' && previous != ' ';
        if at > start && (new_word || wide == LONGEST_RUN) {
            pieces.push(start..at);
            (start, wide) = (at, 0);
        }
        wide += usize::from(!c.is_ascii());
        previous = c;
    }
    if start < text.len() {
        pieces.push(start..text.len());
    }
    pieces
}

/// Cuts text into `count` pieces of nearly equal length; fewer if it has fewer characters.
pub(crate) fn equal_pieces(text: &str, count: usize) -> Vec<Range<usize>> {
    let mut pieces = Vec::with_capacity(count);
    let mut start = 0;
    for number in 1..=count {
        let mut end = (text.len() as u128 * number as u128 / count as u128) as usize;
        while !text.is_char_boundary(end) {
            end += 1;
        }
        if end > start {
            pieces.push(start..end);
            start = end;
        }
    }
    pieces
}

/// Repeats `text`, with spaces between, up to exactly `bytes` bytes (spaces fill what is left of
/// a character that was cut).
pub(crate) fn stretched(text: &str, bytes: usize) -> String {
    let text = if text.is_empty() { "elk" } else { text };
    let mut out = String::with_capacity(bytes + text.len() + 1);
    while out.len() < bytes {
        out.push_str(text);
        out.push(' ');
    }
    let mut end = bytes;
    while !out.is_char_boundary(end) {
        end -= 1;
    }
    out.truncate(end);
    out.extend(std::iter::repeat_n(' ', bytes - end));
    out
}

/// A rough count of tokens: a word, or four bytes, whichever is less.
pub(crate) fn tokens(text: &str) -> u64 {
    text.len().div_ceil(4) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        pieces(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn pieces_are_words_with_the_space_before_them() {
        assert_eq!(cut("Hello! How  can"), ["Hello!", " How", "  can"]);
        assert_eq!(cut(" lead"), [" lead"]);
        assert_eq!(cut(""), [""; 0]);
    }

    #[test]
    fn japanese_pieces_are_short_runs() {
        assert_eq!(cut("こんにちは！私は"), ["こんにちは！", "私は"]);
    }

    #[test]
    fn equal_pieces_put_together_give_the_text() {
        for (text, count) in [("abcdef", 3), ("日本語テキスト", 5), ("ab", 7), ("", 3)] {
            let whole: String = equal_pieces(text, count).into_iter().map(|range| &text[range]).collect();
            assert_eq!(whole, text);
        }
    }

    #[test]
    fn stretched_text_has_exactly_the_asked_length() {
        for bytes in [0, 1, 5, 100, 1_001] {
            assert_eq!(stretched("日本 abc", bytes).len(), bytes);
        }
    }

    #[test]
    fn answers_depend_on_the_prompt_and_its_language() {
        assert_eq!(answer_to("What is moss?", 0), answer_to("What is moss?", 0));
        assert_ne!(answer_to("What is moss?", 0), answer_to("What is bark?", 0));
        assert!(answer_to("こんにちは、自己紹介してください", 0).starts_with("こんにちは！私は"));
    }
}
