//===- FreePort.h - A port where nobody listens -----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_UNITTESTS_FREEPORT_H
#define MOERT_UNITTESTS_FREEPORT_H

#include "gtest/gtest.h"

#include <arpa/inet.h>
#include <cstdint>
#include <unistd.h>

namespace moert::test {

inline uint16_t findFreePort() {
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  socklen_t size = sizeof(address);
  auto *place = reinterpret_cast<sockaddr *>(&address);
  EXPECT_EQ(bind(listener, place, size), 0);
  EXPECT_EQ(getsockname(listener, place, &size), 0);
  close(listener);
  return ntohs(address.sin_port);
}

} // namespace moert::test

#endif // MOERT_UNITTESTS_FREEPORT_H
