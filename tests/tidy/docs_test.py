"""docs_test.py - what the user guide says about settings is what core/config.cc knows, and the reverse."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def known_variables():
    """{name: (default, internal)} of the table in core/config.cc; a name that ends in _ is a prefix."""
    table = (ROOT / "core" / "config.cc").read_text()
    table = table[table.index("kVariables[]"):table.index("};\n\n")]
    entries = re.findall(r'\{"(TERN_\w+)",\s*Kind::\w+,\s*"([^"]*)",((?:\s*"(?:[^"\\]|\\.)*")+)(,\s*true)?\}', table)
    return {name: (default, bool(internal)) for name, default, _, internal in entries}


def documented_variables():
    """{name: default} of the table in the user guide."""
    guide = (ROOT / "docs" / "user-guide.md").read_text()
    section = guide[guide.index("\n## Settings"):guide.index("\n## Measuring")]
    result = {}
    for names, default in re.findall(r"^\| ((?:`TERN_[^`]*`(?:, )?)+) \|([^|]*)\|", section, re.M):
        for name in re.findall(r"`(\w+)", names):
            result[name] = default.strip("` ")
    return result


class SettingsTest(unittest.TestCase):
    def test_every_setting_is_documented_with_its_default(self):
        known, documented = known_variables(), documented_variables()
        self.assertGreater(len(known), 8)
        for name, (default, internal) in known.items():
            if internal:
                continue
            matching = [d for d in documented if d == name or (name.endswith("_") and d.startswith(name))]
            self.assertTrue(matching, f"{name} is missing in docs/user-guide.md")
            if not name.endswith("_"):
                self.assertEqual(documented[name], default, name)

    def test_every_documented_setting_exists(self):
        known = known_variables()
        for name in documented_variables():
            self.assertTrue(any(name == k or (k.endswith("_") and name.startswith(k)) for k in known),
                            f"docs/user-guide.md has {name}, core/config.cc has not")

    def test_every_setting_named_anywhere_in_the_documentation_exists(self):
        known = list(known_variables()) + ["TERN_SKIP_PACKAGES"]  # Of scripts/build, not of the library.
        for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
            for name in set(re.findall(r"\bTERN_[A-Z][A-Z_]*", path.read_text())):
                self.assertTrue(any(name == k or (k.endswith("_") and name.startswith(k)) for k in known),
                                f"{path.name}: {name}")


if __name__ == "__main__":
    unittest.main()
