//===- RuntimeStructs.h - The runtime's structs in IR -----------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What `moert/RuntimeStructs.def` lists, as types of the LLVM dialect: each C
// struct `S` is a class `abi::S` that has its fields as an enumeration.
//
//===----------------------------------------------------------------------===//

#ifndef MOE_MLIR_LIB_CONVERSION_RUNTIMESTRUCTS_H
#define MOE_MLIR_LIB_CONVERSION_RUNTIMESTRUCTS_H

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace moe::abi {
#define MOERT_STRUCT(NAME, FIELDS)                                             \
  struct NAME {                                                                \
    enum Field : int32_t { FIELDS numFields };                                 \
    static mlir::LLVM::LLVMStructType getType(mlir::MLIRContext *context);     \
  };
#define MOERT_FIELD(NAME, TYPE) NAME,
#include "moert/RuntimeStructs.def"
} // namespace moe::abi

namespace moe {

/// A value of the struct `Struct`, made field by field. Every field is to be
/// set once.
template <typename Struct> class StructValue {
public:
  using Field = typename Struct::Field;

  StructValue(mlir::OpBuilder &b, mlir::Location loc)
      : b(b), loc(loc), type(Struct::getType(b.getContext())),
        value(mlir::LLVM::UndefOp::create(b, loc, type)) {}

  StructValue &set(Field field, mlir::Value element) {
    assert(!(fields >> field & 1) && "the field is set already");
    fields |= uint64_t(1) << field;
    value = mlir::LLVM::InsertValueOp::create(b, loc, value, element,
                                              static_cast<int64_t>(field));
    return *this;
  }
  /// Sets an integer.
  StructValue &set(Field field, int64_t number) {
    mlir::Type integer = type.getBody()[field];
    return set(field, mlir::LLVM::ConstantOp::create(
                          b, loc, integer, b.getIntegerAttr(integer, number))
                          .getResult());
  }
  /// Sets a pointer to null.
  StructValue &setNull(Field field) {
    return set(
        field,
        mlir::LLVM::ZeroOp::create(b, loc, type.getBody()[field]).getResult());
  }

  mlir::Value get() const {
    assert(fields == (uint64_t(1) << Struct::numFields) - 1 &&
           "a field is not set");
    return value;
  }

private:
  mlir::OpBuilder &b;
  mlir::Location loc;
  mlir::LLVM::LLVMStructType type;
  mlir::Value value;
  /// One bit for each field that is set.
  uint64_t fields = 0;
};

/// Loads a field of the struct `Struct` at `base`.
template <typename Struct>
mlir::Value loadField(mlir::OpBuilder &b, mlir::Location loc, mlir::Value base,
                      typename Struct::Field field) {
  mlir::LLVM::LLVMStructType type = Struct::getType(b.getContext());
  mlir::Value address = mlir::LLVM::GEPOp::create(
      b, loc, base.getType(), type, base,
      llvm::ArrayRef<mlir::LLVM::GEPArg>{0, static_cast<int32_t>(field)});
  return mlir::LLVM::LoadOp::create(b, loc, type.getBody()[field], address);
}

} // namespace moe

#endif // MOE_MLIR_LIB_CONVERSION_RUNTIMESTRUCTS_H
