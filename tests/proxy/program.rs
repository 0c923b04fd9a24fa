//! The fault proxy as a program, for tests in other languages and for soaks.
//!
//!     fault_proxy TARGET [SCRIPT]      such as: fault_proxy http://127.0.0.1:9000 'get=3:cut-1000&seed=7&rate=20'
//!
//! It prints `listening on http://127.0.0.1:PORT`, then for each line of its input one line of JSON: `play SCRIPT` plays
//! another script, `faults` says how many requests and how many faults of each kind there were since the last such line.
//! It ends with its input. FAULT_PROXY_SECRET is what clients sign with, for faults that take signed headers away.

#[path = "mod.rs"]
mod proxy;

use proxy::Proxy;
use std::{collections::BTreeMap, env, io, process::exit};

fn main() {
    let mut arguments = env::args().skip(1);
    let Some(target) = arguments.next() else {
        eprintln!("usage: fault_proxy TARGET [SCRIPT]");
        exit(2);
    };
    let script = arguments.next().unwrap_or_default().parse().unwrap_or_else(|e| {
        eprintln!("fault_proxy: {e}");
        exit(2);
    });
    let proxy = Proxy::start(&target, &env::var("FAULT_PROXY_SECRET").unwrap_or_default(), script);
    println!("listening on {}", proxy.endpoint());
    for line in io::stdin().lines().map_while(Result::ok) {
        let (order, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match order {
            "play" => rest.parse().map(|script| {
                proxy.play(script);
                serde_json::json!({})
            }),
            "faults" => Ok(tally(&proxy)),
            _ => Err(format!("\"{order}\" is no order; play SCRIPT and faults there are")),
        };
        println!("{}", answer.unwrap_or_else(|error| serde_json::json!({ "error": error })));
    }
}

/// Requests by operation, and faults by their name without the number.
fn tally(proxy: &Proxy) -> serde_json::Value {
    let (mut requests, mut faults) = (BTreeMap::<_, u64>::new(), BTreeMap::<_, u64>::new());
    for seen in proxy.take_seen() {
        *requests.entry(seen.operation.name()).or_default() += 1;
        if let Some(fault) = seen.fault {
            let text = fault.to_string();
            let name = match text.rsplit_once('-') {
                Some((name, number)) if number.starts_with(|c: char| c.is_ascii_digit()) => name,
                _ => &text,
            };
            *faults.entry(format!("{} {name}", seen.operation.name())).or_default() += 1;
        }
    }
    serde_json::json!({ "requests": requests, "faults": faults })
}
