"""What chainlited acknowledged survives everything: kills at every crash point, full disks, clocks that jump. Nothing is
billed twice, sequences have no gaps, the same id gives the same proof."""
import glob
import os
import shutil
import subprocess
import tempfile
import threading
import time

import pytest

from chainlited import PROGRAM, Chainlited, Gone, check_books, crash_points, new_id
from waiting import PATIENCE_S, until

FEE = 900 * 3 + 100 * 1 + 50 * 9 + 950 * 1  # by the catalog's prices for receipt()'s tokens


@pytest.fixture
def node(tmp_path):
    daemon = Chainlited(tmp_path)
    yield daemon
    if daemon.process and daemon.process.poll() is None:
        daemon.kill()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("point", [p for p in crash_points() if p.startswith(("outbox_", "recorder_", "api_"))])
def test_killed_at(node, point, count):
    reserved, acknowledged = [], {}
    if node.model is None:
        node.start().stop()
    node.start(crash=f"{point}:{count + point.startswith('outbox_')}")  # opening writes once itself
    try:
        for _ in range(6):
            ids = [new_id() for _ in range(4)]
            assert all(r["ok"] for r in node.reserve(ids))
            reserved += ids
            for r in node.record(ids[:3]):
                assert r["ok"], r
                acknowledged[r["receipt_id"]] = r
            node.request("DELETE", f"/v1/reservations/{ids[3]}")
        pytest.fail(f"{point} was never reached")
    except Gone:
        node.wait_dead()
    node.start()
    proofs = node.all_receipts()
    check_books(proofs)
    kept = {p["receipt_id"]: p for p in proofs}
    for receipt_id, answer in acknowledged.items():
        assert kept[receipt_id] == answer["proof"]
    assert all(int(p["fee"]) == FEE for p in proofs)
    still = {row["receipt_id"] for row in node.get("/v1/receipts?state=reserved&limit=500")["receipts"]}
    assert node.get("/v1/status")["receipts"]["reserved"] == len(still) and not still & set(kept)
    # Everything is sent again, as openlorad does: the recorded ones answer alike, what was still reserved is
    # recorded now, and what was ended is gone for good.
    for r in node.record(list(kept)[:200]):
        assert r["ok"] and r["proof"] == kept[r["receipt_id"]]
    for r in node.record([i for i in reserved if i not in kept]):
        assert r["ok"] == (r["receipt_id"] in still) and (r["ok"] or r["code"] == "no_reservation")
    for receipt_id in still - set(reserved):  # promised, but the promise was never heard
        assert node.request("DELETE", f"/v1/reservations/{receipt_id}")[0] == 200
    assert node.get("/v1/payers/operator")["reserved_wei"] == "0"
    proofs = node.all_receipts()
    check_books(proofs)
    ids = [new_id() for _ in range(2)]
    assert all(r["ok"] for r in node.reserve(ids))
    assert [r["proof"]["sequence"] for r in node.record(ids)] == [len(proofs) + 1, len(proofs) + 2]
    node.stop()


def test_killed_under_load(node):
    """Several connections write at once when the process dies."""
    node.start()
    acknowledged, lock, stop = {}, threading.Lock(), threading.Event()

    def client():
        while not stop.is_set():
            ids = [new_id() for _ in range(16)]
            try:
                node.reserve(ids)
                results = node.record(ids)
            except (Gone, OSError):
                return
            with lock:
                acknowledged.update({r["receipt_id"]: r for r in results})

    for n in range(1, 4):
        threads = [threading.Thread(target=client) for _ in range(6)]
        for t in threads:
            t.start()
        until(lambda: len(acknowledged), lambda count: count > 50 * n)
        node.kill()
        stop.set()
        for t in threads:
            t.join()
        stop.clear()
        node.start()
    proofs = node.all_receipts()
    check_books(proofs)
    kept = {p["receipt_id"]: p for p in proofs}
    assert len(acknowledged) > 100
    assert all(kept[i] == r["proof"] for i, r in acknowledged.items())
    node.stop()


def test_reservations_by_pages(node):
    node.start()
    ids = [new_id() for _ in range(25)]
    assert all(r["ok"] for r in node.reserve(ids))
    seen, after = [], ""
    while after is not None:
        page = node.get(f"/v1/receipts?state=reserved&limit=10{after and '&after=' + after}")
        seen += [row["receipt_id"] for row in page["receipts"]]
        after = page["next"]
    assert seen == sorted(ids)
    assert node.request("GET", "/v1/receipts?state=reserved&after=7")[0] == 400
    node.stop()


def test_same_id_from_many_threads(node):
    node.start()
    ids = [new_id() for _ in range(8)]
    assert all(r["ok"] for r in node.reserve(ids))
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(node.record(ids))) for _ in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(answers) == 12
    for results in answers:
        assert [(r["receipt_id"], r["proof"], r["signature"]) for r in results] == \
            [(r["receipt_id"], r["proof"], r["signature"]) for r in answers[0]]
    check_books(node.all_receipts())
    assert {r["code"] for r in node.reserve(ids)} == {"duplicate"}
    node.stop()


def fill(path):
    with open(path, "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"\xa5" * 65536)
        except OSError:
            pass
        try:
            while True:
                f.write(b"\xa5" * 512)
        except OSError:
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_disk_full(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m,mode=700", "none", small], capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    node = Chainlited(small, "--min-free-mb", 16, "--max-exposure-wei", 10**18)
    try:
        node.start()
        # More receipts than fit into what the log reserved for itself beforehand.
        groups = [[new_id() for _ in range(256)] for _ in range(100)]
        for group in groups:
            assert all(r["ok"] for r in node.reserve(group, max_output_tokens=50))
        acknowledged = {r["receipt_id"]: r for r in node.record(groups[0])}
        free = os.statvfs(small).f_bavail * os.statvfs(small).f_frsize
        with open(small / "ballast", "wb") as f:  # below the reserve: no new promises, old ones are kept
            f.write(b"\xa5" * (free - (10 << 20)))
        until(lambda: node.reserve([new_id()])[0].get("code"), lambda code: code == "disk_full")
        acknowledged.update({r["receipt_id"]: r for r in node.record(groups[1])})
        fill(small / "rest")  # to the last byte
        outcome = []
        for group in groups[2:]:
            outcome = node.record(group)
            if outcome == "disk_full":
                break
            acknowledged.update({r["receipt_id"]: r for r in outcome})
        assert outcome == "disk_full"
        assert node.process.poll() is None, node.log()
        assert node.get("/v1/status")["disk_full"]
        os.unlink(small / "rest")
        os.unlink(small / "ballast")
        fresh = [new_id()]
        until(lambda: node.reserve(fresh)[0], lambda result: result["ok"])  # without a restart
        assert node.record(fresh)[0]["ok"]
        for group in groups:
            if group[0] not in acknowledged:
                results = node.record(group)
                assert all(r["ok"] for r in results)
                acknowledged.update({r["receipt_id"]: r for r in results})
        proofs = node.all_receipts()
        check_books(proofs)
        kept = {p["receipt_id"]: p for p in proofs}
        assert all(kept[i] == r["proof"] for i, r in acknowledged.items())
        node.kill()
        node.start()
        assert node.all_receipts() == proofs
        node.stop()
    finally:
        if node.process and node.process.poll() is None:
            node.kill()
        subprocess.run(["umount", "-l", small], check=True)


def test_file_size_limit(node):
    """A limit that statvfs does not show: writes fail though there is space; no restart is needed afterwards."""
    node.start()
    done = {}
    subprocess.run(["prlimit", f"--pid={node.process.pid}", "--fsize=300000:unlimited"], check=True)
    for _ in range(200):
        ids = [new_id() for _ in range(32)]
        status, answer = node.request("POST", "/v1/reservations",
                                      {"reservations": [node.reservation(i) for i in ids]})
        if status != 200:
            assert answer["error"]["code"] == "disk_full"
            break
        results = node.record(ids) if all(r["ok"] for r in answer["results"]) else "disk_full"
        if results == "disk_full":
            break
        done.update({r["receipt_id"]: r for r in results})
    else:
        pytest.fail("the limit was never met")
    assert node.process.poll() is None, node.log()
    subprocess.run(["prlimit", f"--pid={node.process.pid}", "--fsize=unlimited:unlimited"], check=True)
    fresh = [new_id()]
    until(lambda: node.request("POST", "/v1/reservations", {"reservations": [node.reservation(fresh[0])]}),
          lambda answered: answered[0] == 200 and answered[1]["results"][0]["ok"], show=node.log)
    assert node.record(fresh)[0]["ok"], node.log()
    proofs = node.all_receipts()
    check_books(proofs)
    kept = {p["receipt_id"]: p for p in proofs}
    assert all(kept[i] == r["proof"] for i, r in done.items())
    node.stop()


def test_clock_jumps(node):
    """A start time is within 60 s of the reservation, or it is not signed; the answer before and after is unharmed."""
    node.start()

    def reserve():
        """The ids and the time, if that was quick: half a second is how exact the limits are tried."""
        now, ids = int(time.time() * 1000), [new_id() for _ in range(4)]
        assert all(r["ok"] for r in node.reserve(ids))
        return (ids, now) if time.time() * 1000 - now < 500 else None

    ids, now = until(reserve)
    for i, jump in zip(ids, (-3_600_000, 3_600_000, -61_000, 61_000)):
        result = node.record([i], start_time_ms=now + jump)[0]
        assert not result["ok"] and result["code"] == "clock_skew", result
    for i, jump in zip(ids, (-59_000, 58_000, 0, 1000)):
        assert node.record([i], start_time_ms=now + jump)[0]["ok"]
    check_books(node.all_receipts())
    node.stop()


def test_started_in_the_past(node):
    node.start()
    ids = [new_id()]
    node.reserve(ids)
    node.record(ids)
    node.stop()
    library = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    assert library, "faketime is not installed; tests/run installs it"
    node.start(LD_PRELOAD=library[0], FAKETIME="-1d")
    later = [new_id()]
    assert node.reserve(later)[0]["ok"]
    assert node.record(later, start_time_ms=int(time.time() * 1000) - 86_400_000)[0]["ok"]
    check_books(node.all_receipts())
    node.stop()


def test_broken_openlorad_gets_nothing_signed(node):
    node.start()
    for changes in ({"prompt_tokens": 1001}, {"output_tokens": 501}, {"cached_tokens": 1001}, {"status": 0}, {"status": 5},
                    {"kind": 3}):
        ids = [new_id()]
        assert node.reserve(ids)[0]["ok"]
        assert node.record(ids, **changes)[0]["code"] == "invalid", changes
    ids = [new_id()]
    node.reserve(ids)
    failed = node.record(ids, status=4)[0]["proof"]
    assert failed["fee"] == "0"
    ids = [new_id()]
    node.reserve(ids)
    assert node.record(ids, output_tokens=0)[0]["proof"]["fee"] == "0"
    status, answer = node.request("POST", "/v1/receipts", {"receipts": [{"receipt_id": ids[0]}]})
    assert status == 400 and "missing" in answer["error"]["message"], answer
    node.stop()


def test_daily_cap_survives_a_restart(tmp_path):
    node = Chainlited(tmp_path, "--tenant-daily-cap-wei", 3 * FEE + 9000)
    node.start()
    for tenant in ("a", "b"):
        for _ in range(3):
            ids = [new_id()]
            assert node.reserve(ids, tenant=tenant)[0]["ok"]
            assert node.record(ids)[0]["ok"]
    assert node.reserve([new_id()], tenant="a", max_output_tokens=2000)[0]["code"] == "spend_limit"
    node.kill()
    node.start()
    refused = node.reserve([new_id()], tenant="a", max_output_tokens=2000)[0]
    assert refused["code"] == "spend_limit" and int(refused["available_wei"]) == 9000
    assert node.reserve([new_id()], tenant="c", max_output_tokens=800)[0]["ok"]
    node.stop()


def test_exposure_without_a_chain(tmp_path):
    node = Chainlited(tmp_path, "--max-exposure-wei", 20000)
    node.start()
    ids = [new_id(), new_id(), new_id()]
    results = node.reserve(ids)
    assert [r["ok"] for r in results] == [True, True, False]  # 9,000 wei each at most
    assert results[2]["code"] == "spend_limit" and results[2]["available_wei"] == "2000"
    assert node.request("DELETE", f"/v1/reservations/{ids[0]}")[0] == 200
    assert node.request("DELETE", f"/v1/reservations/{ids[0]}")[0] == 404
    assert node.reserve([ids[2]])[0]["ok"]
    node.stop()


@pytest.mark.once
@pytest.mark.skipif(os.geteuid() != 0, reason="speaking as another user needs root")
def test_other_users_are_refused():
    # Not below pytest's own folder: whichever pytest starts next closes that to others.
    with tempfile.TemporaryDirectory(prefix="openlora-users-") as folder:
        node = Chainlited(folder)
        node.start()
        os.chmod(folder, 0o755)
        os.chmod(node.socket, 0o666)  # as if the mode did not protect it: the check of the uid must
        code = ("import socket,sys;s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1]);"
                "s.sendall(b'GET /v1/status HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n');"
                "d=b''\nwhile True:\n c=s.recv(9999)\n d+=c\n if not c: break\nprint(d.decode())")
        try:
            out = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "python3", "-c", code, node.socket],
                                 capture_output=True, text=True, timeout=PATIENCE_S)
            assert out.stdout.startswith("HTTP/1.1 403"), out
            node.stop()
            assert not node.socket.exists()
        finally:
            node.kill()


@pytest.mark.once
def test_one_process_per_folder(node):
    node.start()
    second = subprocess.run([PROGRAM, "--no-chain", "--state-dir", node.folder, "--socket", node.folder / "other"],
                            capture_output=True, text=True, timeout=PATIENCE_S)
    assert second.returncode == 1 and "lock" in second.stderr, second
    node.stop()


@pytest.mark.once
def test_keys_are_guarded(tmp_path):
    node = Chainlited(tmp_path)
    node.start()
    address = node.get("/v1/status")["node"]
    node.stop()
    assert all(os.stat(tmp_path / p).st_mode & 0o77 == 0 for p in ("passphrase", "keys/node.key", "keys/operator.key"))

    def refused(text):
        out = subprocess.run([PROGRAM, "--no-chain", "--state-dir", tmp_path], capture_output=True, text=True, timeout=PATIENCE_S)
        assert out.returncode == 1 and text in out.stderr, out

    os.chmod(tmp_path / "passphrase", 0o640)
    refused("chmod 600")
    os.chmod(tmp_path / "passphrase", 0o600)
    os.rename(tmp_path / "keys/node.key", tmp_path / "real")
    os.symlink(tmp_path / "real", tmp_path / "keys/node.key")
    refused("symbolic link")
    os.unlink(tmp_path / "keys/node.key")
    damaged = bytearray((tmp_path / "real").read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "keys/node.key").write_bytes(damaged)
    os.chmod(tmp_path / "keys/node.key", 0o600)
    refused("does not open")
    os.unlink(tmp_path / "keys/node.key")
    refused("another node key")  # a new key is made: the outbox is not its own
    os.unlink(tmp_path / "keys/node.key")
    os.rename(tmp_path / "real", tmp_path / "keys/node.key")
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/openlora-key").write_text((tmp_path / "passphrase").read_text())
    os.unlink(tmp_path / "passphrase")
    node.start(CREDENTIALS_DIRECTORY=str(tmp_path / "credentials"))
    assert node.get("/v1/status")["node"] == address
    node.stop()


@pytest.mark.once
@pytest.mark.skipif(not shutil.which("cast"), reason="cast is not installed")
def test_keys_go_both_ways(tmp_path):
    """Exported keys open in someone else's wallet, and its keys are imported."""
    node, password = Chainlited(tmp_path / "node"), tmp_path / "password"
    node.folder.mkdir()
    password.write_text("pass word\n")
    node.start()
    address = node.get("/v1/status")["node"]
    node.stop()
    run = [PROGRAM, "--no-chain", "--state-dir", node.folder, "--password-file", password]
    exported = tmp_path / "exported.json"
    exported.write_text(subprocess.run([*run, "--export", "node"], check=True, capture_output=True, text=True).stdout)
    theirs = subprocess.run(["cast", "wallet", "address", "--keystore", exported, "--password", "pass word"], check=True,
                            capture_output=True, text=True).stdout.strip()
    assert theirs.lower() == address
    made = subprocess.run(["cast", "wallet", "new", tmp_path, "other", "--unsafe-password", "pass word"], check=True,
                          capture_output=True, text=True).stdout
    out = subprocess.run([*run, "--import", "node", "--file", tmp_path / "other"], capture_output=True, text=True)
    assert out.returncode == 1 and "exists" in out.stderr.lower(), out  # an identity is never replaced
    out = subprocess.run([*run, "--import", "wallet", "--file", tmp_path / "other"], check=True, capture_output=True, text=True)
    wallet = out.stdout.strip()
    assert wallet in made
    node.start()
    ids = [new_id()]
    result = node.reserve(ids, payer=wallet.lower())[0]
    assert result["ok"] and result["payer"] == wallet.lower()
    assert node.record(ids)[0]["proof"]["payer"] == wallet.lower()
    node.stop()
    node.flags = ["--state-dir", tmp_path / "fresh"]
    run[3] = tmp_path / "fresh"
    assert subprocess.run([*run, "--import", "node", "--file", exported], check=True, capture_output=True,
                          text=True).stdout.strip().lower() == address
