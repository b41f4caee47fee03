//===- Environment.h - What launchers tell a process ------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_LIB_ENVIRONMENT_H
#define MOERT_LIB_ENVIRONMENT_H

#include "moert/moert.h"

#include <string>

namespace moert {

/// Rank, ranks and rendezvous from the variables of torchrun, mpirun (OpenMPI)
/// or srun. Returns "", or what is missing.
std::string readEnvironment(moert_process_options &options);

/// Splits "host:port". Returns "", or what was expected.
std::string parsePlace(const std::string &place, std::string &host,
                       uint16_t &port);

/// A place on this machine where nobody listens, for ranks that may be on
/// others: on the first interface that NCCL_SOCKET_IFNAME allows, and loopback
/// only if there is no other. "" if there is none.
std::string findOwnPlace();

} // namespace moert

#endif // MOERT_LIB_ENVIRONMENT_H
