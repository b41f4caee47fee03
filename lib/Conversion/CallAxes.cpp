//===- CallAxes.cpp - Sizes that a call of a function says ----------------===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moe-mlir/Conversion/CallAxes.h"

#include "moert/moert.h"

using namespace mlir;
using namespace moe;

/// What the dimension counts by the argument's attribute; "" without one.
static StringAttr getAxis(func::FuncOp function, unsigned argument,
                          unsigned dim) {
  auto axes = function.getArgAttrOfType<ArrayAttr>(argument, "schedule.axes");
  return axes ? cast<StringAttr>(axes[dim])
              : StringAttr::get(function.getContext());
}

CallAxes::CallAxes(func::FuncOp function) : function(function) {
  for (unsigned i = 0, e = function.getNumArguments(); i < e; ++i) {
    auto type = dyn_cast<ShapedType>(function.getArgumentTypes()[i]);
    if (!type || !type.hasRank())
      continue;
    for (int64_t dim = 0; dim < type.getRank(); ++dim)
      if (StringAttr axis = getAxis(function, i, dim);
          type.isDynamicDim(dim) && !axis.empty())
        names.insert(axis);
  }
}

int64_t CallAxes::getDim(unsigned argument, unsigned dim) const {
  func::FuncOp function = this->function;
  auto type = cast<ShapedType>(function.getArgumentTypes()[argument]);
  if (!type.isDynamicDim(dim))
    return type.getDimSize(dim);
  StringAttr axis = getAxis(function, argument, dim);
  if (axis.empty())
    return MOERT_DIM_TOKENS;
  return MOERT_DIM_AXIS(llvm::find(names, axis) - names.begin());
}
