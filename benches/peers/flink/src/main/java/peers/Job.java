package peers;

import java.io.File;
import java.nio.file.Paths;
import java.util.HashMap;
import java.util.Map;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * The job on Flink, in one JVM, with a file source of plain JSON lines in place of a stream's consumer.
 *
 * <pre>Job --in TRIPS.ndjson --out FOLDER --zones zones.json [--mode stream|sql] [--warm 250000]</pre>
 *
 * What it costs is printed twice: in all, and from the `warm`-th record on to the last multiple of it, without the
 * JVM's start and without its compiler's first work.
 */
public class Job {
  /** Borough of each zone, as the folders are named. Everything runs in this JVM. */
  static String[] zones;

  static String borough(int zone) {
    return zones[zone >= 0 && zone < zones.length ? zone : 0];
  }

  public static void main(String[] arguments) throws Exception {
    org.apache.avro.specific.SpecificData.get()
        .addLogicalTypeConversion(new org.apache.avro.data.TimeConversions.TimestampMillisConversion());
    Map<String, String> given = new HashMap<>(Map.of("mode", "stream", "warm", "250000"));
    for (int i = 0; i + 1 < arguments.length; i += 2) given.put(arguments[i].substring(2), arguments[i + 1]);
    zones = new com.fasterxml.jackson.databind.ObjectMapper().readValue(new File(given.get("zones")), String[].class);
    Meter.warm = Long.parseLong(given.get("warm"));

    Configuration configuration = new Configuration();
    configuration.setString("execution.checkpointing.storage", "filesystem");
    configuration.setString("execution.checkpointing.dir",
        Paths.get(given.get("out")).toAbsolutePath().resolve("_checkpoints").toUri().toString());
    configuration.setString("taskmanager.memory.network.max", "64mb");
    configuration.setString("restart-strategy.type", "none");
    StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1, configuration);
    environment.enableCheckpointing(10_000);
    if (given.get("mode").equals("sql")) {
      environment.getConfig().enableObjectReuse();
      Sql.run(environment, given.get("in"), given.get("out"));
    } else {
      Stream.run(environment, given.get("in"), given.get("out"));
    }
    System.out.println(Meter.report());
    System.exit(0);
  }
}
