// A Lambda in Go: Parquet by borough and hour of pick-up, and the bulk body, with encoding/json or goccy.
//
//	golambda -in EVENTS -out FOLDER -zones zones.json [-json std|goccy]
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"time"

	goccy "github.com/goccy/go-json"
	"github.com/parquet-go/parquet-go"
)

type trip struct {
	VendorID             int32     `json:"vendor_id" parquet:"vendor_id"`
	PickupDatetime       time.Time `json:"pickup_datetime" parquet:"pickup_datetime,timestamp(millisecond)"`
	DropoffDatetime      time.Time `json:"dropoff_datetime" parquet:"dropoff_datetime,timestamp(millisecond)"`
	PassengerCount       int32     `json:"passenger_count" parquet:"passenger_count"`
	TripDistance         float64   `json:"trip_distance" parquet:"trip_distance"`
	RatecodeID           int32     `json:"ratecode_id" parquet:"ratecode_id"`
	StoreAndFwdFlag      string    `json:"store_and_fwd_flag" parquet:"store_and_fwd_flag,dict"`
	PickupLocationID     int32     `json:"pickup_location_id" parquet:"pickup_location_id"`
	DropoffLocationID    int32     `json:"dropoff_location_id" parquet:"dropoff_location_id"`
	PaymentType          int32     `json:"payment_type" parquet:"payment_type"`
	FareAmount           float64   `json:"fare_amount" parquet:"fare_amount"`
	Extra                float64   `json:"extra" parquet:"extra"`
	MtaTax               float64   `json:"mta_tax" parquet:"mta_tax"`
	TipAmount            float64   `json:"tip_amount" parquet:"tip_amount"`
	TollsAmount          float64   `json:"tolls_amount" parquet:"tolls_amount"`
	ImprovementSurcharge float64   `json:"improvement_surcharge" parquet:"improvement_surcharge"`
	TotalAmount          float64   `json:"total_amount" parquet:"total_amount"`
	TripID               int64     `json:"trip_id" parquet:"trip_id"`
	Type                 string    `json:"type" parquet:"type,dict"`
}

type event struct {
	Records []struct {
		Kinesis struct {
			Data           []byte `json:"data"`
			SequenceNumber string `json:"sequenceNumber"`
		} `json:"kinesis"`
		EventID string `json:"eventID"`
	} `json:"Records"`
}

// partition is a borough and an hour since 1970.
type partition struct {
	borough string
	hour    int64
}

func (p partition) folder() string {
	hour := time.Unix(p.hour*3600, 0).UTC()
	return fmt.Sprintf("borough=%s/year=%04d/month=%02d/day=%02d/hour=%02d",
		p.borough, hour.Year(), hour.Month(), hour.Day(), hour.Hour())
}

type lambda struct {
	out       string
	zones     []string
	unmarshal func([]byte, any) error
}

func (l *lambda) borough(zone int32) string {
	if zone < 0 || int(zone) >= len(l.zones) {
		return l.zones[0]
	}
	return l.zones[zone]
}

// handle takes one event and says how many records it had and how long the bulk body is.
func (l *lambda) handle(raw []byte, name string) (records, bulkBytes int, err error) {
	var batch event
	if err := l.unmarshal(raw, &batch); err != nil {
		return 0, 0, err
	}
	parts := map[partition][]trip{}
	var bulk bytes.Buffer
	for _, record := range batch.Records {
		var t trip
		if err := l.unmarshal(record.Kinesis.Data, &t); err != nil {
			return 0, 0, fmt.Errorf("record %s: %w", record.Kinesis.SequenceNumber, err)
		}
		key := partition{l.borough(t.PickupLocationID), t.PickupDatetime.Unix() / 3600}
		parts[key] = append(parts[key], t)
		bulk.WriteString(`{"index":{"_index":"` + t.Type + `","_id":"` + strconv.FormatInt(t.TripID, 10) + "\"}}\n")
		bulk.Write(bytes.TrimRight(record.Kinesis.Data, "\n"))
		bulk.WriteByte('\n')
	}
	for key, rows := range parts {
		if err := writeParquet(filepath.Join(l.out, key.folder()), name, rows); err != nil {
			return 0, 0, err
		}
	}
	return len(batch.Records), bulk.Len(), nil
}

func writeParquet(folder, name string, rows []trip) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(folder, name+".parquet"))
	if err != nil {
		return err
	}
	defer file.Close()
	writer := parquet.NewGenericWriter[trip](file, parquet.Compression(&parquet.Snappy))
	if _, err := writer.Write(rows); err != nil {
		return err
	}
	return writer.Close()
}

func run() error {
	in := flag.String("in", "", "folder of Lambda events")
	out := flag.String("out", "", "where Parquet goes")
	zones := flag.String("zones", "", "JSON: zone id to borough")
	parser := flag.String("json", "std", "std or goccy")
	flag.Parse()
	l := lambda{out: *out, unmarshal: json.Unmarshal}
	if *parser == "goccy" {
		l.unmarshal = goccy.Unmarshal
	}
	names, err := os.ReadFile(*zones)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(names, &l.zones); err != nil {
		return fmt.Errorf("%s: %w", *zones, err)
	}
	files, err := filepath.Glob(filepath.Join(*in, "*.json"))
	if err != nil {
		return err
	}
	sort.Strings(files)
	var records, bulkBytes int
	for i, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		done, size, err := l.handle(raw, fmt.Sprintf("%05d", i))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		records, bulkBytes = records+done, bulkBytes+size
	}
	fmt.Printf(`{"records":%d,"bulk_bytes":%d}`+"\n", records, bulkBytes)
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "golambda:", err)
		os.Exit(1)
	}
}
