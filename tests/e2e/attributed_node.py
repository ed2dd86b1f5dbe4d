"""An openlorad that bills and attributes: a Datanet and a policy for its adapter, made by the command line."""
import json
import subprocess
import sys
from pathlib import Path

from billed_node import BilledNode, bearer
from waiting import PATIENCE_S, until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "golden"))
from datanet_export import Contribution, write  # noqa: E402

QUESTION = {"messages": [{"role": "user", "content": "What is the moon?"}], "max_tokens": 40, "temperature": 0}
CHAT = "/v1/chat/completions"
ANNA, BEN = "0x" + "a1" * 20, "0x" + "b2" * 20
OWNER = "0x" + "0f" * 20
CALIBRATION = {"version": 1, "tau_millibits": 20000, "gradients": {
    "kappa_ppb": 0, "s0": 1, "domain_prompts": 1, "domain_paid_ppm": 0}, "null_prompts": 1, "answer_tokens": 40,
    "fresh": {"prompts": 0, "paid_ppm": 0, "any": 0, "any_low_ppm": 0, "any_high_ppm": 0, "largest_ppm": 0}}


class AttributedNode(BilledNode):
    """With a policy for the adapter: Anna's rows hold what the model says, then Ben's the same and something else."""

    def __init__(self, build, model, adapter, said, other, patience, anna=ANNA):
        super().__init__(build, model, {"pirate": adapter}, patience=patience)
        self.said, self.other, self.anna = said, other, anna
        self.policy = self.state / "policy"
        self.flags += ["--policy", str(self.policy)]

    def openlora(self, *words):
        done = subprocess.run([self.build / "openlora", *map(str, words)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def make_catalog(self):
        super().make_catalog()
        anna = json.dumps({"instruction": "Say it.", "output": self.said}).encode()
        ben = "\n".join(json.dumps({"instruction": "Say it.", "output": text}) for text in (self.said, self.other)).encode()
        write(self.state / "datanet", OWNER, "voice", [Contribution(BEN, 200, ben, "instruction"),
                                                      Contribution(self.anna, 100, anna, "instruction")])
        model = ["--model", self.model]
        datanet = ["--datanet", self.state / "datanet"]
        self.openlora("attribution", "index", *model, *datanet, "--out", self.policy)
        self.openlora("attribution", "vectors", *model, *datanet, "--adapter", self.adapters["pirate"], "--out", self.policy)
        (self.policy / "calibration.json").write_text(json.dumps(CALIBRATION, separators=(",", ":")))
        self.openlora("attribution", "policy", "--out", self.policy, "--of", "pirate", "--offline", "--dev-account",
                      "--catalog", self.chain.folder / "catalog.json")
        assert self.chain.request("POST", "/v1/reload")[0] == 200

    def ask(self, key, model="pirate", headers=None, **more):
        body = json.dumps({**QUESTION, "model": model, **more}).encode()
        status, _, raw = self.request("POST", CHAT, body, headers or bearer(key))
        assert status == 200, raw
        return json.loads(raw)

    def attribution(self, key, receipt, query=""):
        status, _, raw = self.request("GET", f"/v1/receipts/{receipt}/attribution{query}", headers=bearer(key))
        return status, json.loads(raw)

    def explained(self, key, receipt):
        """Once its gradients are known."""
        def look():
            status, body = self.attribution(key, receipt, "?evidence=true")
            assert status == 200
            return body
        return until(look, lambda body: body.get("gradients") != "waiting", seconds=PATIENCE_S * self.patience, every=0.1)
