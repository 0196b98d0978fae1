import { aws_cloudwatch as cloudwatch, aws_logs as logs, aws_sns as sns, Stack } from 'aws-cdk-lib';
import { Construct } from 'constructs';

/** A function that is looked at. */
export interface Watched {
  /** `ingest`, or `lake` and `search`; `publish`. */
  readonly key: string;
  readonly functionName: string;
  readonly logGroup: logs.CfnLogGroup;
  /** Of functions that read the stream: their mapping, and whether another sink than the lake is theirs. */
  readonly mappingId?: string;
  readonly feedsSearch?: boolean;
}

/** What makes alarms and a dashboard. */
export interface WatchProps {
  readonly name: string;
  readonly functions: Watched[];
  readonly everyMinutes: number;
  readonly maximumRecordAge: number;
  readonly emails: string[];
  readonly keyArn?: string;
}

interface Metric {
  readonly pattern: string;
  readonly value: string;
  readonly unit?: string;
}

const BATCH = '{ $.message = "batch" }';
const PUBLISHED = '{ $.message = "published" }';

const BATCH_METRICS: Record<string, Metric> = {
  Records: { pattern: BATCH, value: '$.records' },
  Rows: { pattern: BATCH, value: '$.rows' },
  DeadLetters: { pattern: BATCH, value: '$.dead_letters' },
  Duplicates: { pattern: BATCH, value: '$.duplicates' },
  BatchMillis: { pattern: BATCH, value: '$.millis', unit: 'Milliseconds' },
  JournalBytes: { pattern: BATCH, value: '$.bytes', unit: 'Bytes' },
  PartialRetry: { pattern: BATCH, value: '$.retried_from' },
  FailedBatches: { pattern: '{ $.message = "batch failed" }', value: '1' },
};
const SEARCH_METRICS: Record<string, Metric> = {
  SinkDeadLetters: { pattern: BATCH, value: '$.sink_dead_letters' },
  Documents: { pattern: BATCH, value: '$.documents' },
  SearchThrottled: { pattern: BATCH, value: '$.search_throttled' },
};
const PUBLISH_METRICS: Record<string, Metric> = {
  PublishRuns: { pattern: '{ $.message = "published" && $.gave_way IS FALSE }', value: '1' },
  PublishedEntries: { pattern: PUBLISHED, value: '$.entries' },
  PublishedRows: { pattern: PUBLISHED, value: '$.rows' },
  PublishedFiles: { pattern: PUBLISHED, value: '$.files' },
  PublishedBytes: { pattern: PUBLISHED, value: '$.bytes', unit: 'Bytes' },
  PublishMillis: { pattern: PUBLISHED, value: '$.millis', unit: 'Milliseconds' },
  PublishBacklog: { pattern: '{ $.message = "published" && $.more IS TRUE }', value: '1' },
  StoppedLanes: { pattern: PUBLISHED, value: '$.stopped_lanes' },
  FailedPublishRuns: { pattern: '{ $.message = "publish failed" }', value: '1' },
};
// In lines of both kinds, and in those about what failed.
const ALL_METRICS: Record<string, Metric> = {
  InvariantViolations: { pattern: '{ $.invariant_violations > 0 }', value: '$.invariant_violations' },
};

const namespace = (of: Watched) => `Tripline/${of.functionName}`;

/**
 * Metrics, alarms and a dashboard. Functions write one JSON line a batch and one a run, and metrics are made of these
 * lines: the functions need neither a right nor a way to CloudWatch for them.
 */
export class Watch extends Construct {
  readonly topicArn: string;
  readonly subscriptions: sns.CfnSubscription[];
  private readonly deployment: string;

  constructor(scope: Construct, id: string, props: WatchProps) {
    super(scope, id);
    this.deployment = props.name;
    const topic = new sns.CfnTopic(this, 'Topic', {
      topicName: `${props.name}-alarms`,
      // AWS' own key for SNS would keep alarms out: CloudWatch may not use it.
      kmsMasterKeyId: props.keyArn,
    });
    this.topicArn = topic.ref;
    this.subscriptions = props.emails.map(
      (endpoint, index) => new sns.CfnSubscription(this, `Email${index}`, { topicArn: this.topicArn, protocol: 'email', endpoint }),
    );

    for (const watched of props.functions) {
      this.metrics(watched);
      if (watched.key === 'publish') this.publishAlarms(watched, props.everyMinutes);
      else this.ingestAlarms(watched, props.maximumRecordAge);
    }
    new cloudwatch.CfnDashboard(this, 'Dashboard', {
      dashboardName: props.name,
      dashboardBody: Stack.of(this).toJsonString({ widgets: widgets(props.functions, Stack.of(this).region) }),
    });
  }

  /** An alarm to the topic: by default, a sum of one or more in five minutes. */
  alarm(key: string, settings: Partial<cloudwatch.CfnAlarmProps> & { alarmDescription: string; metricName: string }): void {
    new cloudwatch.CfnAlarm(this, key, {
      alarmName: `${this.deployment}-${key.replace('/', '-')}`,
      statistic: 'Sum',
      period: 300,
      evaluationPeriods: 1,
      datapointsToAlarm: 1,
      threshold: 1,
      comparisonOperator: 'GreaterThanOrEqualToThreshold',
      treatMissingData: 'notBreaching',
      alarmActions: [this.topicArn],
      okActions: [this.topicArn],
      ...settings,
    });
  }

  private metrics(watched: Watched): void {
    const metrics = {
      ...ALL_METRICS,
      ...(watched.key === 'publish' ? PUBLISH_METRICS : BATCH_METRICS),
      ...(watched.feedsSearch ? SEARCH_METRICS : {}),
    };
    for (const [metricName, { pattern, value, unit }] of Object.entries(metrics)) {
      new logs.CfnMetricFilter(this, `${watched.key}-${metricName}`, {
        filterName: `${this.deployment}-${watched.key}-${metricName}`,
        logGroupName: watched.logGroup.ref,
        filterPattern: pattern,
        metricTransformations: [
          { metricNamespace: namespace(watched), metricName, metricValue: value, unit: unit ?? 'Count' },
        ],
      });
    }
  }

  private ingestAlarms(watched: Watched, maximumRecordAge: number): void {
    const { key, functionName } = watched;
    const ofLambda = { namespace: 'AWS/Lambda', dimensions: [{ name: 'FunctionName', value: functionName }] };
    const ofMapping = {
      namespace: 'AWS/Lambda',
      dimensions: [{ name: 'EventSourceMappingUUID', value: watched.mappingId ?? '' }],
    };
    const own = { namespace: namespace(watched) };
    this.alarm(`${key}/lag`, {
      ...ofLambda,
      alarmDescription: `Records wait: ${functionName} is behind its stream. What gets older than ${maximumRecordAge} s is given up.`,
      metricName: 'IteratorAge',
      statistic: 'Maximum',
      period: 60,
      evaluationPeriods: 5,
      datapointsToAlarm: 3,
      threshold: 300_000,
      comparisonOperator: 'GreaterThanThreshold',
    });
    this.alarm(`${key}/errors`, {
      ...ofLambda,
      alarmDescription: `Batches fail in ${functionName} and come again, or are given up in the end.`,
      metricName: 'Errors',
      threshold: 5,
    });
    this.alarm(`${key}/throttles`, {
      ...ofLambda,
      alarmDescription: `${functionName} is throttled: its concurrency, or the account's, is used up.`,
      metricName: 'Throttles',
      threshold: 10,
    });
    this.alarm(`${key}/dead-letters`, {
      ...own,
      alarmDescription: `Records of ${functionName} became dead letters: see the table dead_letter.`,
      metricName: 'DeadLetters',
    });
    this.alarm(`${key}/invariants`, {
      ...own,
      alarmDescription: `${functionName} saw something that must never be: look for invariant_violations in its log, and report it.`,
      metricName: 'InvariantViolations',
    });
    if (watched.feedsSearch) {
      this.alarm(`${key}/sink-dead-letters`, {
        ...own,
        alarmDescription: `A sink beside the lake refused events of ${functionName} for good: see the table dead_letter.`,
        metricName: 'SinkDeadLetters',
      });
    }
    this.alarm(`${key}/given-up`, {
      ...ofMapping,
      alarmDescription: `The mapping of ${functionName} gave batches up: they are in the failure bucket, and tripline redrive --failed-batches brings them in.`,
      metricName: 'OnFailureDestinationDeliveredEventCount',
    });
    this.alarm(`${key}/dropped`, {
      ...ofMapping,
      alarmDescription: `The mapping of ${functionName} dropped records, and could not deliver them to the failure bucket either: they are in the stream until they expire.`,
      metricName: 'DroppedEventCount',
    });
  }

  private publishAlarms(watched: Watched, everyMinutes: number): void {
    const own = { namespace: namespace(watched) };
    const interval = { period: everyMinutes * 60 };
    this.alarm('publish/errors', {
      ...interval,
      alarmDescription: 'Runs of publish fail. Where a lane stands still, the error names it and why; the others are published.',
      namespace: 'AWS/Lambda',
      dimensions: [{ name: 'FunctionName', value: watched.functionName }],
      metricName: 'Errors',
      evaluationPeriods: 2,
      datapointsToAlarm: 2,
    });
    this.alarm('publish/silence', {
      ...own,
      ...interval,
      alarmDescription: 'No run of publish ended well for 4 runs: rows wait in the journal, unseen.',
      metricName: 'PublishRuns',
      evaluationPeriods: 4,
      datapointsToAlarm: 4,
      comparisonOperator: 'LessThanThreshold',
      treatMissingData: 'breaching',
    });
    this.alarm('publish/backlog', {
      ...own,
      ...interval,
      alarmDescription: 'publish does not get to the end of the journal: give it memory and time, or let it run more often.',
      metricName: 'PublishBacklog',
      evaluationPeriods: 6,
      datapointsToAlarm: 6,
    });
    this.alarm('publish/stopped-lanes', {
      ...own,
      alarmDescription: 'Lanes stand still: the log line "lane stands still" names each and the reason.',
      metricName: 'StoppedLanes',
      statistic: 'Maximum',
    });
    this.alarm('publish/invariants', {
      ...own,
      alarmDescription: 'publish saw something that must never be: look for invariant_violations in its log, and report it.',
      metricName: 'InvariantViolations',
    });
  }
}

/** The dashboard's widgets: title, how they are summed up, metrics as CloudWatch has them. */
function widgets(functions: Watched[], region: string): object[] {
  const ingest = functions.filter((watched) => watched.key !== 'publish');
  const publish = functions.filter((watched) => watched.key === 'publish');
  const searching = ingest.filter((watched) => watched.feedsSearch);
  const own = (of: Watched[], ...names: string[]) => of.flatMap((watched) => names.map((name) => [namespace(watched), name]));
  const lambda = (of: Watched[], ...names: string[]) =>
    of.flatMap((watched) => names.map((name) => ['AWS/Lambda', name, 'FunctionName', watched.functionName]));
  const shown: [string, string, unknown[]][] = [
    ['Iterator age (ms)', 'Maximum', lambda(ingest, 'IteratorAge')],
    ['Records in, rows, duplicates dropped', 'Sum', own(ingest, 'Records', 'Rows', 'Duplicates')],
    ['Dead letters', 'Sum', [...own(ingest, 'DeadLetters'), ...own(searching, 'SinkDeadLetters')]],
    ['Published rows and files', 'Sum', own(publish, 'PublishedRows', 'PublishedFiles', 'PublishedEntries')],
    ['Runs of publish', 'Sum', own(publish, 'PublishRuns', 'PublishBacklog', 'FailedPublishRuns', 'StoppedLanes')],
    ['Errors and throttles', 'Sum', lambda(functions, 'Errors', 'Throttles')],
    ['Duration, longest (ms)', 'Maximum', lambda(functions, 'Duration')],
    ['Concurrent executions', 'Maximum', lambda(functions, 'ConcurrentExecutions')],
    [
      'Given up by the mapping',
      'Sum',
      ingest.flatMap((watched) =>
        ['OnFailureDestinationDeliveredEventCount', 'DroppedEventCount'].map((name) => [
          'AWS/Lambda', name, 'EventSourceMappingUUID', watched.mappingId,
        ]),
      ),
    ],
    ['Documents, and times the cluster was busy', 'Sum', own(searching, 'Documents', 'SearchThrottled')],
  ];
  return shown
    .filter(([, , metrics]) => metrics.length > 0)
    .map(([title, stat, metrics], index) => ({
      type: 'metric',
      x: (index % 2) * 12,
      y: Math.floor(index / 2) * 6,
      width: 12,
      height: 6,
      properties: { title, region, stat, period: 300, view: 'timeSeries', metrics },
    }));
}
