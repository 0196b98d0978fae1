package peers;

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.concurrent.atomic.AtomicLong;

/** Counts records, and what the process has used when it comes by each multiple of `warm`. */
class Meter {
  private static final OperatingSystemMXBean SYSTEM =
      (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
  private static final AtomicLong RECORDS = new AtomicLong();
  static final AtomicLong BULK_BYTES = new AtomicLong();
  static long warm;
  private static volatile long firstAt, firstCpu, lastAt, lastCpu;

  static void record() {
    long count = RECORDS.incrementAndGet();
    if (count % warm != 0) return;
    lastAt = count;
    lastCpu = SYSTEM.getProcessCpuTime();
    if (firstAt == 0) {
      firstAt = lastAt;
      firstCpu = lastCpu;
    }
  }

  static String report() {
    String steady = lastAt > firstAt
        ? String.format(",\"steady_us_per_record\":%.2f", (lastCpu - firstCpu) / 1e3 / (lastAt - firstAt)) : "";
    return String.format("{\"records\":%d,\"bulk_bytes\":%d%s}", RECORDS.get(), BULK_BYTES.get(), steady);
  }
}
