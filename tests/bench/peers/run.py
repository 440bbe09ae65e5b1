#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Peer benchmark runner: fresh private broker per measurement, peers interleaved
within every repetition, one lock around each measurement, medians at the end.
See README.md."""
import argparse, fcntl, json, os, random, re, resource, shutil, signal, socket, statistics
import subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
B = os.path.join(HERE, "build")
LOCK = os.environ.get("BENCH_LOCK", "/tmp/bench.lock")

DBUS_CONF = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
<limit name="max_incoming_bytes">1000000000</limit><limit name="max_outgoing_bytes">1000000000</limit>
<limit name="max_message_size">130000000</limit><limit name="max_completed_connections">100000</limit>
<limit name="max_incomplete_connections">10000</limit><limit name="max_connections_per_user">100000</limit>
<limit name="max_names_per_connection">50000</limit><limit name="max_match_rules_per_connection">1000000</limit>
<limit name="max_replies_per_connection">1000000</limit></busconfig>
"""
MOSQ_CONF = """%s
user root
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
log_type none
"""
REDIS_CONF = """%s
save ""
appendonly no
maxclients 20000
tcp-backlog 4096
client-output-buffer-limit pubsub 0 0 0
client-output-buffer-limit normal 0 0 0
daemonize no
dir %s
logfile redis.log
"""
NATS_CONF = """host: 127.0.0.1
port: %d
max_payload: 8388608
max_pending: 512MB
max_connections: 65536
max_subscriptions: 0
write_deadline: "30s"
"""


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


# Each entry: binary, transport, function(dir, addr) -> argv of the broker.
# To add a broker: one line here, one file in adapters/, one LIBS_ line in Makefile.
def start_raw(d, a): return [B + "/raw_relay", a]
RAMALD = os.environ.get("RAMALD", os.path.join(HERE, "../../../build/release/bin/ramald"))
def start_ramal(d, a):
    os.environ["RAMAL_BENCH_TOKEN"] = d + "/token"
    argv = [RAMALD, "--listen", a, "--log-level", "warning"]
    return argv + (["--token-file", d + "/token"] if a.startswith("tcp:") else [])
def start_zmq(d, a): return [B + "/zmq_broker", a]
def start_dbus_broker(d, a): return [B + "/dbus_broker_ctl", a]
def start_dbus_daemon(d, a):
    return ["dbus-daemon", "--nofork", "--config-file=" + write(d + "/dbus.conf", DBUS_CONF % a[5:])]
def start_nats(d, a): return ["nats-server", "-c", write(d + "/nats.conf", NATS_CONF % int(a.rsplit(":", 1)[1]))]
def start_mosquitto(d, a):
    l = "listener 0 " + a[5:] if a.startswith("unix:") else "listener %s 127.0.0.1" % a.rsplit(":", 1)[1]
    return ["mosquitto", "-c", write(d + "/mosquitto.conf", MOSQ_CONF % l)]
def start_redis(d, a):
    l = "port 0\nunixsocket " + a[5:] if a.startswith("unix:") else "bind 127.0.0.1\nport " + a.rsplit(":", 1)[1]
    return ["redis-server", write(d + "/redis.conf", REDIS_CONF % (l, d))]


PEERS = {
    "raw": ("bench-raw", "unix", start_raw),
    "raw-spin": ("bench-raw", "unix", start_raw),  # RAW_SPIN_US=20: polls before it blocks
    "raw-tcp": ("bench-raw", "tcp", start_raw),
    "ramal": ("bench-ramal", "unix", start_ramal),
    "ramal-tcp": ("bench-ramal", "tcp", start_ramal),
    "dbus-broker": ("bench-sdbus", "unix", start_dbus_broker),
    "dbus-daemon": ("bench-sdbus", "unix", start_dbus_daemon),
    "nats": ("bench-nats", "tcp", start_nats),
    "redis": ("bench-redis", "unix", start_redis),
    "redis-tcp": ("bench-redis", "tcp", start_redis),
    "mosquitto": ("bench-mosquitto", "unix", start_mosquitto),
    "mosquitto-tcp": ("bench-mosquitto", "tcp", start_mosquitto),
    "zmq": ("bench-zmq", "unix", start_zmq),
    "zmq-tcp": ("bench-zmq", "tcp", start_zmq),
}
SCENARIOS = ["rtt", "rtt_1cpu", "rtt_pipelined", "pub_64", "pub_1k", "pub_64k", "pub_1m", "fanout_8", "idle_conns", "many_subs"]
# (column, key, format) per scenario; the first is the one whose spread is shown
RATE = [("msg/s", "msgs_per_s", "%.0f"), ("MB/s", "MB_per_s", "%.1f"), ("broker µs/msg", "broker_cpu_us_per_msg", "%.3f"),
        ("source µs/msg", "src_cpu_us_per_msg", "%.3f"), ("sink µs/msg", "sink_cpu_us_per_msg", "%.3f"),
        ("broker CPU share", "broker_cpu_share", "%.2f")]
COLS = {
    "rtt": [("p50 µs", "p50_us", "%.1f"), ("p99 µs", "p99_us", "%.1f"), ("p99.9 µs", "p999_us", "%.1f"),
            ("mean µs", "mean_us", "%.1f"), ("n", "n", "%d"), ("broker µs/rt", "broker_cpu_us_per_msg", "%.2f"),
            ("req µs/rt", "src_cpu_us_per_msg", "%.2f"), ("resp µs/rt", "sink_cpu_us_per_msg", "%.2f")],
    "rtt_pipelined": [("req/s", "msgs_per_s", "%.0f"), ("broker µs/rt", "broker_cpu_us_per_msg", "%.3f"),
                      ("req µs/rt", "src_cpu_us_per_msg", "%.3f"), ("resp µs/rt", "sink_cpu_us_per_msg", "%.3f"),
                      ("broker CPU share", "broker_cpu_share", "%.2f")],
    "fanout_8": [("deliveries/s", "msgs_per_s", "%.0f")] + RATE[1:2] + [
        ("broker µs/delivery", "broker_cpu_us_per_msg", "%.3f"), ("source µs/delivery", "src_cpu_us_per_msg", "%.3f"),
        ("sinks µs/delivery", "sink_cpu_us_per_msg", "%.3f"), ("broker CPU share", "broker_cpu_share", "%.2f")],
    "idle_conns": [("KiB/conn", "rss_kib_per_conn", "%.2f"), ("conns/s", "conns_per_s", "%.0f"),
                   ("broker µs/conn", "broker_cpu_us_per_conn", "%.1f"), ("conns", "conns", "%d")],
    "many_subs": [("hot ratio", "hot_ratio", "%.3f"), ("msg/s, 1 sub", "msgs_per_s_1sub", "%.0f"),
                  ("msg/s, 100k", "msgs_per_s", "%.0f"), ("broker µs/msg, 1 sub", "broker_cpu_us_per_msg_1sub", "%.3f"),
                  ("broker µs/msg, 100k", "broker_cpu_us_per_msg", "%.3f"), ("RSS B/sub", "rss_bytes_per_sub", "%.0f"),
                  ("subs/s", "subs_per_s", "%.0f"), ("broker µs/sub", "broker_cpu_us_per_sub", "%.2f")],
}
COLS["rtt_1cpu"] = COLS["rtt"]
NOT_APPLICABLE = {("raw", "many_subs"), ("raw-spin", "many_subs"), ("raw-tcp", "many_subs")}
for s in SCENARIOS:
    COLS.setdefault(s, RATE)


def free_port():
    while True:
        p = random.randrange(20000, 30000, 4)
        try:
            for i in range(4):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", p + i))
            return p
        except OSError:
            continue


def up(addr, path_suffix=""):
    try:
        if addr.startswith("unix:"):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(addr[5:] + path_suffix)
        else:
            with socket.socket() as s:
                s.connect(("127.0.0.1", int(addr.rsplit(":", 1)[1])))
        return True
    except OSError:
        return False


def stop(p):
    if p.poll() is None:
        p.send_signal(signal.SIGTERM)
        try:
            p.wait(5)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()


def one(peer, scenario, args):
    binary, transport, starter = PEERS[peer]
    d = tempfile.mkdtemp(prefix="peer-")
    broker = None
    try:
        addr = "unix:%s/s" % d if transport == "unix" else "tcp:127.0.0.1:%d" % free_port()
        log = open(d + "/broker.log", "w+")
        env = dict(os.environ, TMPDIR=d)
        if peer == "raw-spin":
            env.setdefault("RAW_SPIN_US", "20")
        is_ctl = starter is start_dbus_broker
        broker = subprocess.Popen(starter(d, addr), stdout=subprocess.PIPE if is_ctl else log, stderr=log, cwd=d,
                                  env=env)
        pid = int(broker.stdout.readline()) if is_ctl else broker.pid
        suffix = ".xsub" if starter is start_zmq and transport == "unix" else ""
        for _ in range(500):
            if up(addr, suffix):
                break
            if broker.poll() is not None:
                return {"ok": False, "error": "broker exited"}
            time.sleep(0.01)
        time.sleep(0.05)
        pin = "0" if scenario == "rtt_1cpu" else args.pin
        cmd = [B + "/" + binary, "--scenario", "rtt" if scenario == "rtt_1cpu" else scenario, "--addr", addr, "--broker-pid", str(pid), "--seconds",
               str(args.seconds), "--conns", str(args.conns), "--subs", str(args.subs)]
        if args.window:
            cmd += ["--window", str(args.window)]
        if pin:
            cmd = ["taskset", "-c", pin] + cmd
            subprocess.run(["taskset", "-a", "-p", "-c", pin, str(pid)], stdout=subprocess.DEVNULL)
        r = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=200, text=True, env=env)
        if r.stderr and args.verbose:
            sys.stderr.write(r.stderr[-2000:])
        try:
            out = json.loads(r.stdout.strip().splitlines()[-1])
        except (IndexError, ValueError):
            out = {"ok": False, "error": "no result (exit %s) %s" % (r.returncode, r.stderr[-200:].strip())}
        if not out.get("ok") and r.stderr:
            out["stderr"] = r.stderr[-300:].strip()
        if not out.get("ok") and args.verbose:
            log.seek(0)
            sys.stderr.write(log.read()[-2000:])
        return out
    except subprocess.TimeoutExpired:
        return {"ok": False, "error": "timeout"}
    finally:
        if broker:
            stop(broker)
        shutil.rmtree(d, ignore_errors=True)


def fmt(f, v):
    if v is None:
        return "-"
    s = f % v
    return s


def tables(rows, peers, scenarios, out=sys.stdout):
    for sc in scenarios:
        cols = COLS[sc]
        print("\n### %s\n" % sc, file=out)
        print("| peer | " + " | ".join(c[0] for c in cols) + " | spread | runs |", file=out)
        print("|---|" + "---:|" * (len(cols) + 2), file=out)
        for p in peers:
            rs = [r for r in rows if r["scenario"] == sc and r["peer"] == p]
            good = [r for r in rs if r.get("ok")]
            if not rs:
                continue
            if not good:
                print("| %s | %s |" % (p, rs[-1].get("error", "failed: sent %s received %s errors %s" % (
                    rs[-1].get("sent"), rs[-1].get("received"), rs[-1].get("errors")))), file=out)
                continue
            cells = []
            for _, k, f in cols:
                v = [r[k] for r in good if k in r]
                cells.append(f % statistics.median(v) if v else "-")
            v = [r[cols[0][1]] for r in good]
            m = statistics.median(v)
            spread = "%.0f%%" % (100 * (max(v) - min(v)) / m) if m else "-"
            print("| %s | %s | %s | %d/%d |" % (p, " | ".join(cells), spread, len(good), len(rs)), file=out)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--peers", default="raw,ramal,dbus-broker,dbus-daemon,nats,redis,mosquitto,zmq",
                    help="comma list, or 'all' (adds the TCP variants); known: " + " ".join(PEERS))
    ap.add_argument("--scenarios", default=",".join(SCENARIOS), help="comma list")
    ap.add_argument("--reps", type=int, default=3)
    ap.add_argument("--seconds", type=float, default=1.0)
    ap.add_argument("--conns", type=int, default=5000)
    ap.add_argument("--subs", type=int, default=100000)
    ap.add_argument("--window", type=int, default=0, help="override the adapters' window (messages)")
    ap.add_argument("--retry", type=int, default=2, help="measure again, this often, when others kept the machine busy")
    ap.add_argument("--max-other", type=float, default=0.15, help="... by more than this many CPUs")
    ap.add_argument("--pin", default="", help="CPU list for broker and clients, e.g. 0")
    ap.add_argument("--out", default="", help="append JSON lines here (default results/raw-TIME.jsonl)")
    ap.add_argument("--tables", default="", help="only print the tables of this JSON lines file")
    ap.add_argument("-v", "--verbose", action="store_true")
    args = ap.parse_args()
    peers = list(PEERS) if args.peers == "all" else args.peers.split(",")
    scenarios = args.scenarios.split(",")
    if args.tables:
        rows = [json.loads(l) for f in args.tables.split(",") for l in open(f)]
        tables(rows, [p for p in peers if p in {r["peer"] for r in rows}], scenarios)
        return
    for p in peers:
        if p not in PEERS:
            sys.exit("unknown peer " + p)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (65536, 65536))
    except (ValueError, OSError):
        pass
    out = args.out or os.path.join(HERE, "results", time.strftime("raw-%Y%m%d-%H%M%S.jsonl"))
    os.makedirs(os.path.dirname(os.path.abspath(out)), exist_ok=True)
    rows, t0 = [], time.time()
    with open(out, "a") as f, open(LOCK, "a") as lock:
        for rep in range(args.reps):
            for sc in scenarios:
                k = rep % len(peers)  # another order every time
                for p in peers[k:] + peers[:k]:
                    if (p, sc) in NOT_APPLICABLE:
                        continue
                    for again in range(args.retry + 1):
                        fcntl.flock(lock, fcntl.LOCK_EX)
                        try:
                            t1 = time.time()
                            r = one(p, sc, args)
                        finally:
                            fcntl.flock(lock, fcntl.LOCK_UN)
                        if max(r.get("other_cpu", 0), r.get("other_cpu_1sub", 0)) < args.max_other:
                            break
                    r.update(peer=p, scenario=sc, rep=rep, attempt=again, transport=PEERS[p][1], wall_s=round(time.time() - t1, 2))
                    rows.append(r)
                    f.write(json.dumps(r) + "\n")
                    f.flush()
                    first = COLS[sc][0]
                    v = r.get(first[1])
                    print("[%5.0fs] rep %d %-14s %-14s %s" % (time.time() - t0, rep, sc, p, (first[2] % v + " " + first[0]
                          if v is not None else "") + ("" if r.get("ok") else "  FAILED " + str(
                              {k: r[k] for k in ("error", "sent", "received", "errors", "stderr") if k in r}))),
                          file=sys.stderr, flush=True)
    tables(rows, peers, scenarios)
    print("\n%d measurements in %.0f s; raw lines: %s" % (len(rows), time.time() - t0, os.path.relpath(out)))


if __name__ == "__main__":
    main()
