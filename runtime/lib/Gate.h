//===- Gate.h - Spin a little, then sleep, until a condition ----*- C++ -*-===//
//
// Part of moe-mlir, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOERT_LIB_GATE_H
#define MOERT_LIB_GATE_H

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace moert {

/// Lets threads wait for a condition on atomics and costs whoever changes them
/// one load when nobody sleeps.
///
/// The condition's loads, and the stores before `notify`, must be sequentially
/// consistent: either the notifier then sees the sleeper, or the sleeper sees
/// the store and does not sleep.
class Gate {
public:
  template <typename Condition> void await(Condition condition) {
    if (spin(condition))
      return;
    sleepers.fetch_add(1);
    {
      std::unique_lock<std::mutex> lock(mutex);
      wake.wait(lock, condition);
    }
    sleepers.fetch_sub(1);
  }

  void notifyAll() { notify(INT64_MAX); }

  /// Wakes at most `count` sleepers.
  void notify(int64_t count) {
    int64_t asleep = sleepers.load();
    if (asleep == 0)
      return;
    // A sleeper that has checked its condition but does not wait yet holds the
    // mutex; after this lock the notification cannot miss it.
    {
      std::lock_guard<std::mutex> lock(mutex);
    }
    if (count >= asleep) {
      wake.notify_all();
      return;
    }
    for (int64_t i = 0; i < count; ++i)
      wake.notify_one();
  }

private:
  /// Waits for about as long as going to sleep and waking up would take.
  template <typename Condition> static bool spin(Condition condition) {
    constexpr std::chrono::microseconds budget(20);
    constexpr int checksPerLook = 16;
    if (condition())
      return true;
    auto end = std::chrono::steady_clock::now() + budget;
    do {
      for (int i = 0; i < checksPerLook; ++i) {
        if (condition())
          return true;
        pause();
      }
      // With more threads than cores the condition's maker may need this core.
      std::this_thread::yield();
    } while (std::chrono::steady_clock::now() < end);
    return false;
  }

  static void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
  }

  std::atomic<int64_t> sleepers{0};
  std::mutex mutex;
  std::condition_variable wake;
};

} // namespace moert

#endif // MOERT_LIB_GATE_H
