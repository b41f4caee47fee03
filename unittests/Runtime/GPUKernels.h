//===- GPUKernels.h - Kernels for a GPU, in PTX -----------------*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_UNITTESTS_GPUKERNELS_H
#define MOERT_UNITTESTS_GPUKERNELS_H

namespace moert::test {

/// - affine(x, y, n): y[i] = 2 x[i] + 1 for n floats
/// - slow_store(to, value, time): stores an i32 after `time` nanoseconds; lets
///   the next launch start early
/// - load_store(from, to): waits for the launch before, stores what it loads
///   plus 10
/// - limits(to, shared): stores the blocks of its cluster, through the last
///   bytes of its dynamic shared memory
/// - tile(map, row, column, to, bytes): stores the box of a tensor map that
///   begins there, as it lies in shared memory
inline constexpr char gpuImage[] = R"ptx(.version 8.0
.target sm_90
.address_size 64

.visible .entry affine(.param .u64 affine_x, .param .u64 affine_y,
                       .param .u32 affine_n)
{
  .reg .pred %p<2>;
  .reg .b32 %r<6>;
  .reg .f32 %f<3>;
  .reg .b64 %rd<6>;
  ld.param.u64 %rd1, [affine_x];
  ld.param.u64 %rd2, [affine_y];
  ld.param.u32 %r1, [affine_n];
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %tid.x;
  mad.lo.u32 %r5, %r2, %r3, %r4;
  setp.ge.u32 %p1, %r5, %r1;
  @%p1 bra DONE;
  mul.wide.u32 %rd3, %r5, 4;
  add.u64 %rd4, %rd1, %rd3;
  add.u64 %rd5, %rd2, %rd3;
  ld.global.f32 %f1, [%rd4];
  fma.rn.f32 %f2, %f1, 0f40000000, 0f3F800000;
  st.global.f32 [%rd5], %f2;
DONE:
  ret;
}

.visible .entry slow_store(.param .u64 slow_to, .param .u32 slow_value,
                           .param .u64 slow_time)
{
  .reg .pred %p<2>;
  .reg .b32 %r<2>;
  .reg .b64 %rd<6>;
  ld.param.u64 %rd1, [slow_to];
  ld.param.u32 %r1, [slow_value];
  ld.param.u64 %rd2, [slow_time];
  griddepcontrol.launch_dependents;
  mov.u64 %rd3, %globaltimer;
  add.u64 %rd4, %rd3, %rd2;
WAIT:
  nanosleep.u32 1000;
  mov.u64 %rd5, %globaltimer;
  setp.lt.u64 %p1, %rd5, %rd4;
  @%p1 bra WAIT;
  st.global.u32 [%rd1], %r1;
  ret;
}

.visible .entry load_store(.param .u64 load_from, .param .u64 load_to)
{
  .reg .b32 %r<3>;
  .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [load_from];
  ld.param.u64 %rd2, [load_to];
  griddepcontrol.wait;
  ld.global.u32 %r1, [%rd1];
  add.u32 %r2, %r1, 10;
  st.global.u32 [%rd2], %r2;
  ret;
}

.extern .shared .align 16 .b8 dynamic[];

.visible .entry limits(.param .u64 limits_to, .param .u32 limits_shared)
{
  .reg .pred %p<3>;
  .reg .b32 %r<8>;
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [limits_to];
  ld.param.u32 %r1, [limits_shared];
  mov.u32 %r2, dynamic;
  add.u32 %r3, %r2, %r1;
  mov.u32 %r4, %cluster_nctaid.x;
  st.shared.u32 [%r3+-4], %r4;
  ld.shared.u32 %r5, [%r3+-4];
  mov.u32 %r6, %ctaid.x;
  setp.ne.u32 %p1, %r6, 0;
  @%p1 bra END;
  st.global.u32 [%rd1], %r5;
END:
  ret;
}

.visible .entry tile(.param .align 64 .b8 tile_map[128], .param .s32 tile_row,
                     .param .s32 tile_column, .param .u64 tile_to,
                     .param .u32 tile_bytes)
{
  .reg .pred %p<3>;
  .reg .b32 %r<9>;
  .reg .b64 %rd<6>;
  .shared .align 1024 .b8 buffer[8192];
  .shared .align 8 .b64 barrier;
  mov.b64 %rd1, tile_map;
  cvta.param.u64 %rd2, %rd1;
  ld.param.s32 %r1, [tile_row];
  ld.param.s32 %r2, [tile_column];
  ld.param.u64 %rd3, [tile_to];
  ld.param.u32 %r3, [tile_bytes];
  mov.u32 %r4, buffer;
  mov.u32 %r5, barrier;
  mbarrier.init.shared.b64 [%r5], 1;
  fence.proxy.async;
  mbarrier.arrive.expect_tx.shared.b64 %rd4, [%r5], %r3;
  cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes
      [%r4], [%rd2, {%r2, %r1}], [%r5];
TRY:
  mbarrier.try_wait.parity.shared.b64 %p1, [%r5], 0;
  @!%p1 bra TRY;
  mov.u32 %r6, 0;
NEXT:
  add.u32 %r7, %r4, %r6;
  ld.shared.u32 %r8, [%r7];
  st.global.u32 [%rd3], %r8;
  add.u64 %rd3, %rd3, 4;
  add.u32 %r6, %r6, 4;
  setp.lt.u32 %p2, %r6, %r3;
  @%p2 bra NEXT;
  ret;
}
)ptx";

} // namespace moert::test

#endif // MOERT_UNITTESTS_GPUKERNELS_H
