"""Published names: found by independent jobs, gone with their owner."""

import os
import pathlib
import unittest

import harness
from ports_test import JobsTest


class Names(JobsTest):
    def setUp(self):
        super().setUp()
        self.directory = self.folder / "names"
        self.variables = {"TERN_NAME_DIR": str(self.directory)}

    def published(self):
        return [name for name in os.listdir(self.directory) if not name.startswith(".")]

    def test_a_client_finds_a_server_by_name(self):
        client = self.job(1, "lookup", "my service", "60", env=self.variables)
        server = self.job(1, "publish", "my service", env=self.variables)
        self.expect_ok(client, server)
        self.assertEqual(self.published(), [])

    def test_rules(self):
        said = self.output_of(self.alone("names", env=self.variables))
        for what, error in (("twice", "MPI_ERR_SERVICE"), ("unknown", "MPI_ERR_NAME"),
                            ("not ours", "MPI_ERR_SERVICE"), ("other port", "MPI_ERR_SERVICE"),
                            ("gone", "MPI_ERR_NAME"), ("too long", "MPI_ERR_ARG")):
            self.assertRegex(said, rf"(?m)^{what} {error}")
        self.assertEqual(self.published(), [], "MPI_Finalize withdraws names")

    def test_names_vanish_with_their_owner(self):
        owner = self.alone("publish", "short lived", env=self.variables)
        self.assertEqual(owner.stdout.readline(), "published\n")
        self.assertEqual(len(self.published()), 1)
        owner.kill()
        owner.wait()
        said = self.output_of(self.alone("lookup", "short lived", "-", env=self.variables))
        self.assertTrue(said.startswith("MPI_ERR_NAME"), said)
        # And can be taken by the next one.
        server = self.job(1, "publish", "short lived", env=self.variables)
        self.assertEqual(server.stdout.readline(), "published\n")
        self.expect_ok(self.job(1, "lookup", "short lived", "-", env=self.variables), server)

    def test_names_of_other_hosts_are_believed_where_locks_do_not_reach(self):
        # What a host leaves in the directory whose locks this one does not see, and what a dead process of this one left.
        self.directory.mkdir()
        here = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text()
        (self.directory / "far").write_text("another-boot\nport\n")
        (self.directory / "dead").write_text(f"{here}port\n")
        (self.directory / "half").write_text("another-boot\npor")
        far, *gone = [self.job(1, "lookup", name, "-", env=self.variables) for name in ("far", "dead", "half")]
        out, err = far.communicate(timeout=harness.TIMEOUT)
        self.assertIn("MPI_ERR_PORT", out + err)
        for process in gone:
            self.assertTrue(self.output_of(process).startswith("MPI_ERR_NAME"))
        self.assertEqual(sorted(self.published()), ["far", "half"])
        taken = self.job(1, "publish", "far", env=self.variables)
        out, err = taken.communicate(timeout=harness.TIMEOUT)
        self.assertIn(str(self.directory / "far"), err)

    def test_the_default_place_is_private(self):
        place = self.folder / "run"
        place.mkdir()
        (place / "tern").mkdir(mode=0o777)
        (place / "tern").chmod(0o777)
        said = self.output_of(self.alone("lookup", "any", "-", env={"XDG_RUNTIME_DIR": str(place)}))
        self.assertIn("belongs to this user alone", said)
        (place / "tern").chmod(0o700)
        said = self.output_of(self.alone("lookup", "any", "-", env={"XDG_RUNTIME_DIR": str(place)}))
        self.assertTrue(said.startswith("MPI_ERR_NAME"), said)


if __name__ == "__main__":
    unittest.main()
