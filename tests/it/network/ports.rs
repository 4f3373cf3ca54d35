//! Who listens and who connects, read from the kernel's own tables for the real programs.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use super::*;
use crate::support::{TOKEN, free_address, helpdesk_section, process::Process, support_section};
use wicketgate::config::Role;

/// A TCP socket of a process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    listens: bool,
    /// A keep-alive timer runs.
    kept_alive: bool,
}

/// All TCP sockets of a process, by the inodes that it has open.
fn sockets(pid: u32) -> BTreeSet<Socket> {
    let links = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a process of ours").flatten();
    let own: BTreeSet<String> = links
        .filter_map(|link| std::fs::read_link(link.path()).ok())
        .filter_map(|to| Some(to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    ["tcp", "tcp6"]
        .iter()
        .flat_map(|table| {
            std::fs::read_to_string(format!("/proc/{pid}/net/{table}"))
                .unwrap_or_default()
                .lines()
                .skip(1)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            own.contains(*words.get(9)?).then(|| Socket {
                local: address(words[1]),
                remote: address(words[2]),
                listens: words[3] == "0A",
                kept_alive: words[5].starts_with("02:"),
            })
        })
        .collect()
}

/// `0100007F:1F90`: each 32 bits in the machine's own order.
fn address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').expect("a colon");
    let words: Vec<u8> =
        (0..ip.len() / 8).flat_map(|n| u32::from_str_radix(&ip[n * 8..n * 8 + 8], 16).expect("hex").to_ne_bytes()).collect();
    let ip = match <[u8; 4]>::try_from(words.as_slice()) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words.as_slice()).expect("16 bytes"))),
    };
    SocketAddr::new(ip.to_canonical(), u16::from_str_radix(port, 16).expect("hex"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_relay_opens_no_port_beyond_loopback_and_nothing_dials_in() {
    assert!(Role::Private.listen().ip().is_loopback(), "unless told otherwise");
    // The far systems live in this process, the nodes in their own.
    let world = World::with(Settings { joined: false, ..Settings::default() }).await;
    let folder = tempfile::tempdir().expect("a folder");
    let node = |name: &str, at: SocketAddr, more: &str, rest: &str| {
        format!(
            "[node]\nname = \"{name}\"\nlisten = \"{at}\"\ndata_dir = {:?}\n{more}[api]\nadmin_token = \"{TOKEN}\"\n\
             [link]\nallow_addresses = [\"127.0.0.0/8\"]\n{rest}",
            folder.path().join(name)
        )
    };
    let (serve_at, relay_at) = (free_address(), free_address());
    let (serve_url, relay_url) = (format!("http://{serve_at}"), format!("http://{relay_at}"));
    let public_url = format!("public_url = \"{serve_url}\"\n");
    let config = node("serve", serve_at, &public_url, &support_section(&world.org, "look = \"off\"\n"));
    let mut serve = Process::new("serve", &serve_url, folder.path(), &config);
    let config = node("relay", relay_at, "", &helpdesk_section(&world.tracker, true, ""));
    let mut relay = Process::new("relay", &relay_url, folder.path(), &config);
    serve.start().await;
    relay.start().await;
    let wanted = json!({"tracker": "support", "destination_url": null, "mode": "basic", "local_short_name": "support",
        "remote_short_name": "helpdesk"});
    let (_, made) = serve.api("POST", "/connections", Some(wanted)).await;
    let id = made["id"].as_str().expect("an id").to_owned();
    let join = json!({"code": made["invitation"]["code"], "tracker": "helpdesk"});
    assert_eq!(relay.api("POST", "/invitations/accept", Some(join)).await.0, 201);

    let org = address_of(&world.org.url);
    let watch = |serve: &Process, relay: &Process| {
        for socket in sockets(relay.pid()) {
            assert!(!socket.listens || socket.local.ip().is_loopback(), "the relay listens on {}", socket.local);
            let api = socket.local == relay_at;
            let goes_out = [serve_at, address_of(world.tracker.entities_url().trim_end_matches("/entities"))];
            assert!(socket.listens || api || goes_out.contains(&socket.remote), "the relay talks to {socket:?}");
        }
        for socket in sockets(serve.pid()) {
            assert!(socket.listens || socket.local == serve_at || socket.remote == org, "the public node dialled {socket:?}");
        }
    };
    // Every occasion on which it might have something to say: records both ways, switches, and at last the end.
    for (method, path, body) in [
        ("POST", format!("/connections/{id}/triggers"), json!({"entity_type": "Case", "filter": ""})),
        ("POST", format!("/connections/{id}/deactivate"), json!({})),
        ("POST", format!("/connections/{id}/activate"), json!({})),
        ("POST", format!("/connections/{id}/invitation"), json!({})),
        ("DELETE", format!("/connections/{id}/invitation"), json!({})),
        ("DELETE", format!("/connections/{id}"), json!({})),
    ] {
        let (status, said) = serve.api(method, &path, Some(body)).await;
        assert!(status < 300, "{method} {path}: {status} {said}");
        for _ in 0..10 {
            watch(&serve, &relay);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if path.ends_with("/activate") {
            let held = |pid| sockets(pid).into_iter().any(|s| s.kept_alive && (s.local == serve_at || s.remote == serve_at));
            // A held exchange whose other end is gone without a word is noticed by the kernel, at either end.
            until("keep-alives at the public node", || held(serve.pid())).await;
            until("keep-alives at the relay", || held(relay.pid())).await;
        }
    }
    serve.kill();
    relay.kill();
    world.stop().await;
}
