//! A Redis that an example starts for itself, and ends.

#![allow(dead_code, reason = "each example uses its part")]

use std::error::Error;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) struct OwnRedis {
    process: Option<Child>,
    port: u16,
}

impl OwnRedis {
    pub(crate) fn start() -> Result<Self, Box<dyn Error>> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut own = Self { process: None, port };
        own.run()?;
        Ok(own)
    }

    /// Runs it, again perhaps, on the same port.
    pub(crate) fn run(&mut self) -> Result<(), Box<dyn Error>> {
        let process = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start redis-server: {error}. Install it"))?;
        self.process = Some(process);
        for _ in 0..500 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("redis-server does not answer".into())
    }

    pub(crate) fn runs(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) fn signal(&self, signal: &str) -> Result<(), Box<dyn Error>> {
        if let Some(process) = &self.process {
            let pid = process.id().to_string();
            Command::new("kill").args([format!("-{signal}"), pid]).status()?;
        }
        Ok(())
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        self.kill();
    }
}
