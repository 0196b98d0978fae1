"""infra/contract.json is what README.md and the code say; `terraform test` holds the modules to it."""

import json
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).parents[2]
CONTRACT = json.loads((ROOT / "infra/contract.json").read_text())
MODULES = ROOT / "infra/terraform/modules"


def text(*paths):
    return "\n".join((ROOT / path).read_text() for path in paths)


def terraform():
    return {file: file.read_text() for file in (ROOT / "infra/terraform").rglob("*.tf")}


class Contract(unittest.TestCase):
    def test_the_variables_are_those_of_the_functions(self):
        environment = CONTRACT["environment"]
        names = environment["set_by_module"] + environment["free"]
        documented = re.findall(r"^\| `(TRIPLINE_\w+)` \|", text("README.md"), re.MULTILINE)
        self.assertEqual(sorted(names), sorted(documented))

    def test_the_module_sets_what_the_contract_says(self):
        pipeline = text("infra/terraform/modules/pipeline/main.tf")
        self.assertEqual(set(re.findall(r"TRIPLINE_\w+", pipeline)), set(CONTRACT["environment"]["set_by_module"]))
        variables = text("infra/terraform/modules/pipeline/variables.tf")
        refused = re.search(r"setintersection\(keys\(var\.environment\), \[(.*?)\]\)", variables, re.DOTALL).group(1)
        self.assertEqual(set(re.findall(r"TRIPLINE_\w+", refused)), set(CONTRACT["environment"]["set_by_module"]))

    def test_no_policy_allows_an_action_with_a_wildcard(self):
        """But for two: what denies, and a key's own policy, which must leave the account in charge."""
        for file, content in terraform().items():
            for match in re.finditer(r'"([a-z0-9-]+:[A-Za-z]*\*)"', content):
                before = content[: match.start()]
                effect = re.findall(r'Effect\s*=\s*"(\w+)"', before)[-1:]
                where = f"{file.relative_to(ROOT)}: {match.group(1)}"
                if file == MODULES / "key/main.tf" and match.group(1) == "kms:*":
                    continue
                self.assertEqual(effect, ["Deny"], where)

    def test_descriptions_of_groups_have_characters_that_ec2_takes(self):
        """It knows no apostrophes, and says so only when it is asked to make the group."""
        looked_at = 0
        for file, content in terraform().items():
            for kind, body in re.findall(r'^resource "(aws_(?:vpc_)?security_group\w*)" "\w+" \{(.*?)^\}', content, re.DOTALL | re.MULTILINE):
                for description in re.findall(r'^  description\s*=\s*"(.*)"$', body, re.MULTILINE):
                    looked_at += 1
                    plain = re.sub(r"\$\{[^}]*\}", "", description)
                    self.assertRegex(plain, r"^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}$", f"{file.relative_to(ROOT)}: {kind}")
        self.assertGreater(looked_at, 10)

    def test_endpoints_can_be_made_and_are_explained(self):
        known = re.search(r"setsubtract\(var\.endpoints, \[(.*?)\]\)", text("infra/terraform/modules/network/variables.tf"), re.DOTALL)
        known = set(re.findall(r'"([\w-]+)"', known.group(1)))
        self.assertLessEqual(set(CONTRACT["endpoints"]) - {"s3"}, known)
        self.assertLessEqual(known, set(re.findall(r"^ {4}([\w-]+) += \[", text("infra/terraform/modules/network/endpoints.tf"), re.MULTILINE)))
        table = text("infra/README.md").partition("| endpoint |")[2].partition("\n\n")[0]
        self.assertLessEqual(set(CONTRACT["endpoints"]), set(re.findall(r"`([\w-]+)`", table)))

    def test_the_parallelization_factor_is_no_variable(self):
        factors = [line for content in terraform().values() for line in content.splitlines() if "parallelization_factor " in line]
        self.assertEqual([line.split("=")[1].strip() for line in factors], ["local.is_kafka ? null : 1"])

    def test_every_variable_and_output_is_explained(self):
        for file, content in terraform().items():
            for kind, name, body in re.findall(r'^(variable|output) "(\w+)" \{(.*?)^\}', content, re.DOTALL | re.MULTILINE):
                where = f"{file.relative_to(ROOT)}: {kind} {name}"
                self.assertRegex(body, r'description\s*=\s*"[^"]{10,}', where)
                if kind == "variable":
                    self.assertRegex(body, r"\btype\s*=", where)


if __name__ == "__main__":
    unittest.main()
