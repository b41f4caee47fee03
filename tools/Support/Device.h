//===- Device.h - Which devices this machine has ----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOE_TOOLS_SUPPORT_DEVICE_H
#define MOE_TOOLS_SUPPORT_DEVICE_H

namespace moe::tools {

/// How many GPUs an NVIDIA driver answers with; 0 if none is installed.
int countGPUs();

} // namespace moe::tools

#endif // MOE_TOOLS_SUPPORT_DEVICE_H
