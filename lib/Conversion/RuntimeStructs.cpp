//===- RuntimeStructs.cpp - The runtime's structs in IR -------------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RuntimeStructs.h"

using namespace mlir;
using namespace moe;

/// The types of the table.
namespace fields {
template <unsigned bits> struct Int {
  static Type getType(MLIRContext *context) {
    return IntegerType::get(context, bits);
  }
};
using i8 = Int<8>;
using i16 = Int<16>;
using i32 = Int<32>;
using i64 = Int<64>;
struct ptr {
  static Type getType(MLIRContext *context) {
    return LLVM::LLVMPointerType::get(context);
  }
};
using moe::abi::DLDataType;
using moe::abi::DLDevice;
} // namespace fields

#define MOERT_STRUCT(NAME, FIELDS)                                             \
  LLVM::LLVMStructType abi::NAME::getType(MLIRContext *context) {              \
    SmallVector<Type> types;                                                   \
    FIELDS                                                                     \
    return LLVM::LLVMStructType::getLiteral(context, types);                   \
  }
#define MOERT_FIELD(NAME, TYPE) types.push_back(fields::TYPE::getType(context));
#include "moert/RuntimeStructs.def"
