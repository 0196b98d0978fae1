import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { aws_athena as athena, aws_glue as glue, Fn, Stack, Token } from 'aws-cdk-lib';
import { Construct } from 'constructs';
import { Lake } from './lake';

interface Level {
  readonly name: string;
  readonly kind: 'year' | 'month' | 'day' | 'hour' | 'text';
  readonly values?: string[];
}

interface Table {
  readonly columns: { name: string; type: string }[];
  readonly partitions: Level[];
}

/** The tables of a pipeline, as `tripline ddl --dialect glue-json` writes them for Terraform. */
function tablesOf(pipeline: string): Record<string, Table> {
  const file = join(__dirname, '../../../terraform/tables', `${pipeline}.json`);
  return JSON.parse(readFileSync(file, 'utf8')) as Record<string, Table>;
}

// Parts of the time are written with leading zeros. Rows of other years are in the lake, but Athena does not find them.
const RANGES = {
  year: { range: '2009,2040', digits: '4' },
  month: { range: '1,12', digits: '2' },
  day: { range: '1,31', digits: '2' },
  hour: { range: '0,23', digits: '2' },
};

/** Partitions are worked out from the query: nothing to register, and a file is seen as soon as it is there. */
function projection(level: Level): Record<string, string> {
  const key = `projection.${level.name}`;
  if (level.kind !== 'text') {
    const { range, digits } = RANGES[level.kind];
    return { [`${key}.type`]: 'integer', [`${key}.range`]: range, [`${key}.digits`]: digits };
  }
  const values = level.values ?? [];
  return values.length === 0
    ? { [`${key}.type`]: 'injected' }
    : { [`${key}.type`]: 'enum', [`${key}.values`]: values.join(',') };
}

/** What makes a catalogue. */
export interface CatalogueProps {
  readonly name: string;
  readonly pipeline: string;
  readonly lake: Lake;
}

/** Glue tables of a lake, and a workgroup for Athena. */
export class Catalogue extends Construct {
  readonly database: string;

  constructor(scope: Construct, id: string, props: CatalogueProps) {
    super(scope, id);
    const { lake, name } = props;
    const catalogId = Stack.of(this).account;
    this.database = Token.isUnresolved(name) ? Fn.join('_', Fn.split('-', name)) : name.replaceAll('-', '_');
    const database = new glue.CfnDatabase(this, 'Database', {
      catalogId,
      databaseInput: { name: this.database, description: `Tripline's lake ${lake.url}`, locationUri: `${lake.url}/` },
    });

    for (const [table, { columns, partitions }] of Object.entries(tablesOf(props.pipeline))) {
      const location = `${lake.url}/${table}/`;
      new glue.CfnTable(this, `Table-${table}`, {
        catalogId,
        databaseName: database.ref,
        tableInput: {
          name: table,
          tableType: 'EXTERNAL_TABLE',
          parameters: {
            EXTERNAL: 'TRUE',
            classification: 'parquet',
            'parquet.compression': 'ZSTD',
            'projection.enabled': 'true',
            'storage.location.template': location + partitions.map((level) => `${level.name}=\${${level.name}}/`).join(''),
            ...Object.assign({}, ...partitions.map(projection)),
          },
          partitionKeys: partitions.map((level) => ({ name: level.name, type: level.kind === 'text' ? 'string' : 'int' })),
          storageDescriptor: {
            location,
            inputFormat: 'org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat',
            outputFormat: 'org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat',
            serdeInfo: {
              serializationLibrary: 'org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe',
              parameters: { 'serialization.format': '1' },
            },
            columns,
          },
        },
      });
    }

    const workgroup = new athena.CfnWorkGroup(this, 'Workgroup', {
      name,
      description: `Queries on Tripline's lake ${lake.url}`,
      recursiveDeleteOption: true,
      workGroupConfiguration: {
        enforceWorkGroupConfiguration: true,
        publishCloudWatchMetricsEnabled: true,
        bytesScannedCutoffPerQuery: 100 * 1024 ** 3,
        resultConfiguration: {
          // Outside of the lake's prefix, below which nobody but Tripline writes.
          outputLocation: `s3://${lake.bucket.ref}/athena-results/`,
          encryptionConfiguration: lake.keyArn
            ? { encryptionOption: 'SSE_KMS', kmsKey: lake.keyArn }
            : { encryptionOption: 'SSE_S3' },
        },
      },
    });
    new athena.CfnNamedQuery(this, 'DeadLetters', {
      name: `${name}-dead-letters`,
      workGroup: workgroup.ref,
      database: database.ref,
      queryString:
        'SELECT stage, reason, count(*) AS letters, min(failed_at) AS first, max(failed_at) AS last FROM dead_letter ' +
        'WHERE year = year(current_date) GROUP BY 1, 2 ORDER BY letters DESC',
    });
  }
}
