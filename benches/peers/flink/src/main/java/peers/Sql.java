package peers;

import java.time.ZoneOffset;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.table.functions.ScalarFunction;

/** SQL: JSON lines to partitioned Parquet. It builds no bulk body. */
class Sql {
  private static final String NUMBERS = "passenger_count INT, trip_distance DOUBLE, ratecode_id INT, "
      + "store_and_fwd_flag STRING, pickup_location_id INT, dropoff_location_id INT, payment_type INT, fare_amount DOUBLE, "
      + "extra DOUBLE, mta_tax DOUBLE, tip_amount DOUBLE, tolls_amount DOUBLE, improvement_surcharge DOUBLE, "
      + "total_amount DOUBLE, trip_id BIGINT, `type` STRING";

  public static class Borough extends ScalarFunction {
    public String eval(Integer zone) {
      return Job.borough(zone == null ? 0 : zone);
    }
  }

  /** Passes an id on and counts it. */
  public static class Counted extends ScalarFunction {
    public Long eval(Long id) {
      Meter.record();
      return id;
    }

    @Override public boolean isDeterministic() {
      return false;
    }
  }

  static void run(StreamExecutionEnvironment environment, String in, String out) throws Exception {
    StreamTableEnvironment tables = StreamTableEnvironment.create(environment);
    tables.getConfig().setLocalTimeZone(ZoneOffset.UTC);
    tables.createTemporarySystemFunction("BOROUGH", Borough.class);
    tables.createTemporarySystemFunction("COUNTED", Counted.class);
    tables.executeSql("CREATE TEMPORARY TABLE trips (vendor_id INT, pickup_datetime TIMESTAMP_LTZ(3), "
        + "dropoff_datetime TIMESTAMP_LTZ(3), " + NUMBERS + ") WITH ('connector' = 'filesystem', 'path' = '" + in
        + "', 'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601')");
    tables.executeSql("CREATE TEMPORARY TABLE lake (vendor_id INT, pickup_datetime TIMESTAMP(3), "
        + "dropoff_datetime TIMESTAMP(3), " + NUMBERS + ", borough STRING, `year` STRING, `month` STRING, "
        + "`day` STRING, `hour` STRING) PARTITIONED BY (borough, `year`, `month`, `day`, `hour`) WITH ("
        + "'connector' = 'filesystem', 'path' = '" + out + "', 'format' = 'parquet', 'parquet.compression' = 'SNAPPY')");
    tables.executeSql("INSERT INTO lake SELECT vendor_id, CAST(pickup_datetime AS TIMESTAMP(3)), "
        + "CAST(dropoff_datetime AS TIMESTAMP(3)), passenger_count, trip_distance, ratecode_id, store_and_fwd_flag, "
        + "pickup_location_id, dropoff_location_id, payment_type, fare_amount, extra, mta_tax, tip_amount, tolls_amount, "
        + "improvement_surcharge, total_amount, COUNTED(trip_id), `type`, BOROUGH(pickup_location_id), "
        + "DATE_FORMAT(pickup_datetime, 'yyyy'), DATE_FORMAT(pickup_datetime, 'MM'), DATE_FORMAT(pickup_datetime, 'dd'), "
        + "DATE_FORMAT(pickup_datetime, 'HH') FROM trips").await();
  }
}
