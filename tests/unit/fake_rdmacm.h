// tests/unit/fake_rdmacm.h - librdmacm's finding of ways between the devices of fake_verbs.h.
//
// Events come in the order in which real ones do, as soon as they are asked for. Each call can be
// made to fail (set_faults()). Threading: any thread.
#pragma once
#include <cstdint>

#include "verbs/cm_table.h"

namespace tern::test {

const verbs::CmTable& fake_rdmacm();

// Identifiers that were made and not destroyed.
int cm_ids_alive();
// Ways that were found.
int ways_found();
// What the next of them say: a service level.
void set_service_level(std::uint8_t level);
// From now on nobody answers.
void set_listeners_deaf(bool deaf);

}  // namespace tern::test
