//! Clients over sockets, of whom some hang up.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::chance::Chance;
use crate::events::{By, Call, Event, Told, now};
use crate::lanes::{DEADLINE, Does, Lane};

/// Where the processes are served; `None` while one is away.
pub(crate) type Ports = Arc<Mutex<Vec<Option<u16>>>>;

pub(crate) struct Clients {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) ports: Ports,
    pub(crate) events: Sender<Event>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) seed: u64,
    pub(crate) load: u64,
}

impl Clients {
    /// Sends requests until it is told to stop.
    pub(crate) fn run(self) {
        let clients = Arc::new(self);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for (number, lane) in clients.lanes.iter().enumerate() {
                let Does::Serve(path) = lane.does else { continue };
                for client in 0..4 {
                    let chance = Chance::new(clients.seed, (50_000 + number * 10 + client) as u64);
                    tasks.spawn(clients.clone().send(number, path, chance));
                }
            }
            tasks.spawn(clients.clone().look());
            while let Some(ended) = tasks.join_next().await {
                ended.unwrap();
            }
        });
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn port(&self, chance: &mut Chance) -> Option<(usize, u16)> {
        let ports = self.ports.lock().unwrap();
        let worker = chance.below(ports.len() as u64) as usize;
        Some((worker, ports[worker]?))
    }

    async fn send(self: Arc<Self>, lane: usize, path: &'static str, mut chance: Chance) {
        let door = path == "/door";
        while !self.is_over() {
            // Four clients and four processes.
            let mean = 160_000 * 100 / self.load;
            sleep(Duration::from_micros(chance.wait(mean).min(5 * mean))).await;
            let Some((worker, port)) = self.port(&mut chance) else { continue };
            let subject = chance.below(2);
            let (fails, units) = (chance.is_one_in(3), chance.below(5) as u32);
            let patience = if chance.is_one_in(10) { chance.below(300_000) } else { 30_000_000 };
            let more = if fails { "x-fails: 1\r\n" } else { "" };
            let head = format!(
                "GET {path} HTTP/1.1\r\nhost: soak\r\nconnection: close\r\nx-subject: {subject}\r\n\
                 x-units: {units}\r\n{more}\r\n"
            );
            let begun = now();
            let answer = timeout(Duration::from_micros(patience), ask(port, &head)).await;
            let ended = now();
            let (told, status) = match &answer {
                // It has hung up.
                Err(_) => (Told::GivenUp, 0),
                Ok(Ok((status, _))) => match status {
                    200 | 500 => (Told::Admitted, *status),
                    429 => (Told::Refused, *status),
                    503 => (Told::Unavailable, *status),
                    _ => {
                        let _ =
                            self.events.send(Event::Wrong(format!("{path} is answered {status}")));
                        continue;
                    }
                },
                // It was killed.
                Ok(Err(_)) => (Told::GivenUp, 0),
            };
            let cost = self.lanes[lane].costs.0 as u32;
            let is_kept = told == Told::Admitted && status == 200;
            let units = if path == "/usage" { units.min(cost) } else { cost };
            let own = match path {
                "/door" => 1_000_000,
                "/stream" => 500_000,
                _ => 0,
            };
            let _ = self.events.send(Event::Call(Call {
                worker,
                lane,
                subject,
                begun: if door { begun.max(ended.saturating_sub(5 * DEADLINE)) } else { begun },
                ended,
                told,
                by: if is_kept { By::Store } else { By::Nobody },
                cost,
                units: if is_kept { units } else { 0 },
                wait: 0,
                place: None,
                again: false,
                // The refund before the answer has the same deadline; the machine may be busy.
                most: if patience < 1_000_000 { u64::MAX } else { 2 * DEADLINE + own + 500_000 },
            }));
        }
    }

    /// An operator looks at the dashboard.
    async fn look(self: Arc<Self>) {
        let mut chance = Chance::new(self.seed, 60_000);
        while !self.is_over() {
            sleep(Duration::from_secs(3)).await;
            let Some((_, port)) = self.port(&mut chance) else { continue };
            let head = "GET /dashboard HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            if let Ok((status, body)) = ask(port, head).await
                && (status != 200 || body.len() < 1_000)
            {
                let wrong = format!("the dashboard is answered {status}, {} bytes", body.len());
                let _ = self.events.send(Event::Wrong(wrong));
            }
        }
    }
}

async fn ask(port: u16, head: &str) -> std::io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let status =
        answer.get(9..12).and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    let status = status.ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok((status, answer))
}
