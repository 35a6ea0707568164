//! A Marmot server as far as `marmot ingest` asks one: it answers, refuses, and remembers what it was told.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// Statuses with which the next calls of a path are refused.
type Refusals = Arc<Mutex<Vec<(&'static str, VecDeque<u16>)>>>;

/// A server on a port of its own. Its threads end with the test process.
pub struct Marmot {
    /// Its address for `--host`.
    pub url: String,
    refusals: Refusals,
    calls: Arc<Mutex<Vec<(String, Value)>>>,
}

/// What a server does beside the usual.
#[derive(Clone, Copy, Default)]
pub struct Manners {
    /// Assets it loses without a word, as Marmot up to v0.10.0 does.
    pub loses: usize,
    /// Assets it reports as failed, as later versions do.
    pub fails: usize,
    /// Assets its pipelines hold.
    pub holds: usize,
}

impl Marmot {
    pub fn start(manners: Manners) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), manners)
    }

    pub fn on(listener: TcpListener, manners: Manners) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (refusals, calls) = (Refusals::default(), Arc::new(Mutex::new(Vec::new())));
        let server = (Arc::clone(&refusals), Arc::clone(&calls));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (refusals, calls) = server.clone();
                std::thread::spawn(move || serve(&stream.unwrap(), manners, &refusals, &calls));
            }
        });
        Self { url, refusals, calls }
    }

    /// Refuses the next calls of that path with these statuses.
    pub fn refuse(self, path: &'static str, statuses: &[u16]) -> Self {
        self.refusals.lock().unwrap().push((path, statuses.iter().copied().collect()));
        self
    }

    /// Method and path of every call, with its body.
    pub fn calls(&self) -> Vec<(String, Value)> {
        self.calls.lock().unwrap().clone()
    }

    /// Bodies of the calls of that path.
    pub fn bodies(&self, path: &str) -> Vec<Value> {
        self.calls().into_iter().filter(|(call, _)| call.ends_with(path)).map(|(_, body)| body).collect()
    }
}

fn serve(stream: &TcpStream, manners: Manners, refusals: &Refusals, calls: &Mutex<Vec<(String, Value)>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let call = line.rsplit_once(' ').unwrap().0.to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        calls.lock().unwrap().push((call.clone(), body.clone()));
        let refused = refusals
            .lock()
            .unwrap()
            .iter_mut()
            .find(|(path, _)| call.ends_with(path))
            .and_then(|(_, statuses)| statuses.pop_front());
        let (status, answer) = match refused {
            Some(status) => (status, json!({ "error": "refused" })),
            None => (200, answer(&call, &body, manners)),
        };
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        let mut writer = stream;
        writer.write_all(format!("{head}{answer}").as_bytes()).unwrap();
    }
}

fn answer(call: &str, body: &Value, manners: Manners) -> Value {
    if call.ends_with("/runs/start") {
        return json!({ "id": "1", "run_id": "3779ad54", "status": "running", "started_at": "2026-01-01T00:00:00Z" });
    }
    if call.starts_with("DELETE") {
        let gone: Vec<String> = (0..manners.holds).map(|index| format!("mrn://book/shelf/book-{index}")).collect();
        return json!({ "assets_deleted": gone.len(), "deleted_entity_mrns": gone });
    }
    if !call.ends_with("/assets/batch") {
        return json!({ "status": "completed" });
    }
    let assets = body["assets"].as_array().unwrap().iter().enumerate().map(|(index, asset)| {
        let mut result =
            json!({ "name": asset["name"], "type": asset["type"], "provider": "Shelf", "status": "created" });
        if index < manners.loses {
            result["status"] = json!("failed");
        } else if index < manners.loses + manners.fails {
            result["error"] = json!("name too long");
        }
        result
    });
    json!({ "assets": assets.collect::<Vec<_>>() })
}
