"""What Scouter's own offline functions make of the wine data, for
TestScouterOffline: its profiles of the even rows, and its PSI and SPC of the odd
rows, all of them and those above 11 % alcohol.

    pip install 'scouter-ml==0.25.0' 'pandas<3'
    python scouter_offline.py > scouter_offline.json
"""

import json
import pathlib

import pandas
from scouter.drift import Drifter, PsiDriftConfig, SpcDriftConfig

wine = pandas.read_csv(pathlib.Path(__file__).parents[3] / "examples/wine/winequality-red.csv").astype(float)
reference = wine.iloc[0::2].reset_index(drop=True)
odd = wine.iloc[1::2].reset_index(drop=True)
samples = {"same": odd, "moved": odd[odd["alcohol"] > 11].reset_index(drop=True)}


def limit(bound):
    return None if bound in ("inf", "-inf") else bound


drifter, out = Drifter(), {}
psi = drifter.create_drift_profile(reference, PsiDriftConfig(space="s", name="wine", version="0.1.0"))
spc = drifter.create_drift_profile(reference, SpcDriftConfig(space="s", name="wine", version="0.1.0"))
for name, feature in json.loads(psi.model_dump_json())["features"].items():
    out[name] = {
        "edges": [limit(b["upper_limit"]) for b in feature["bins"][:-1]],
        "proportions": [b["proportion"] for b in feature["bins"]],
        "psi": {}, "means": {}, "zones": {},
    }
for name, feature in json.loads(spc.model_dump_json())["features"].items():
    out[name]["limits"] = [feature[k] for k in (
        "center", "one_ucl", "one_lcl", "two_ucl", "two_lcl", "three_ucl", "three_lcl")]
for label, sample in samples.items():
    for name, value in json.loads(drifter.compute_drift(sample, psi).model_dump_json())["features"].items():
        out[name]["psi"][label] = value
    for name, value in json.loads(drifter.compute_drift(sample, spc).model_dump_json())["features"].items():
        out[name]["means"][label] = value["samples"]
        out[name]["zones"][label] = value["drift"]
print(json.dumps(out, indent=1, sort_keys=True))
