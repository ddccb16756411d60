//! Arbitrary bytes from a server, over a real socket, in arbitrary pieces: a call must end with an
//! answer or an error, and its views must be readable.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use elkapi::{Client, Config};

const REQUEST: &str = r#"{"messages":[{"role":"user","content":"Hi"}]}"#;

/// A client, and the way to tell its server what to answer next.
fn ground() -> &'static (Client, Sender<Vec<u8>>) {
    static GROUND: OnceLock<(Client, Sender<Vec<u8>>)> = OnceLock::new();
    GROUND.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
        let port = listener.local_addr().expect("address").port();
        let (sender, replies) = channel::<Vec<u8>>();
        thread::spawn(move || {
            for reply in replies {
                let Ok((mut socket, _)) = listener.accept() else { return };
                let _ = socket.set_nodelay(true);
                let _ = socket.read(&mut [0; 4096]);
                let (piece, bytes) =
                    reply.split_first().map_or((1, &reply[..]), |(first, rest)| (*first, rest));
                for piece in bytes.chunks(1 + usize::from(piece) * 8) {
                    if socket.write_all(piece).is_err() {
                        break;
                    }
                }
            }
        });
        let config = Config::new()
            .environment(false)
            .api_key("sk-fuzz")
            .base_url(format!("http://127.0.0.1:{port}/v1"))
            .max_retries(0u64)
            .max_idle_connections(0u64)
            .max_body_bytes(1u64 << 20)
            .total_timeout_ms(5_000u64);
        (Client::new(config).expect("client"), sender)
    })
}

/// One input.
pub fn run(data: &[u8]) {
    let (client, server) = ground();
    server.send(data.to_vec()).expect("server");
    match client.chat_completions(REQUEST, None) {
        Ok(answer) => {
            let _ =
                (answer.text(), answer.reasoning(), answer.usage(), answer.images(), answer.call_document());
        }
        Err(error) => {
            assert!(error.elapsed_ms() < 4_000, "{error}");
            let _ = (error.message(), error.document(), error.call_document());
        }
    }
}
