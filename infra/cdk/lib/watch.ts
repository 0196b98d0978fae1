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

/** Where functions tell their own metrics. */
const NAMESPACE = 'Tripline';

/**
 * Alarms and a dashboard. Functions tell metrics in documents of CloudWatch's embedded metric format in their logs: they
 * need neither a right nor a way to CloudWatch. docs/metrics.md has the names.
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

  private ingestAlarms(watched: Watched, maximumRecordAge: number): void {
    const { key, functionName } = watched;
    const ofLambda = { namespace: 'AWS/Lambda', dimensions: [{ name: 'FunctionName', value: functionName }] };
    const ofMapping = {
      namespace: 'AWS/Lambda',
      dimensions: [{ name: 'EventSourceMappingUUID', value: watched.mappingId ?? '' }],
    };
    const own = { namespace: NAMESPACE, dimensions: [{ name: 'FunctionName', value: watched.functionName }] };
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
    const own = { namespace: NAMESPACE, dimensions: [{ name: 'FunctionName', value: watched.functionName }] };
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
    this.alarm('publish/lag', {
      ...own,
      ...interval,
      alarmDescription: 'Rows wait long between their commit and their file: publish runs too seldom, or too slowly.',
      metricName: 'PublishLagMillis',
      statistic: 'Maximum',
      evaluationPeriods: 2,
      datapointsToAlarm: 2,
      threshold: 1_800_000,
      comparisonOperator: 'GreaterThanThreshold',
    });
    this.alarm('publish/reconcile-gap', {
      ...own,
      alarmDescription: "A run's files have not the rows of its entries: run tripline audit, and report it.",
      metricName: 'ReconcileGap',
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
  const metrics = (namespace: string) => (of: Watched[], ...names: string[]) =>
    of.flatMap((watched) => names.map((name) => [namespace, name, 'FunctionName', watched.functionName]));
  const [own, lambda] = [metrics(NAMESPACE), metrics('AWS/Lambda')];
  const feedingLake = ingest.filter((watched) => watched.key !== 'search');
  const shown: [string, string, unknown[]][] = [
    ['Iterator age (ms)', 'Maximum', lambda(ingest, 'IteratorAge')],
    ['Records in, rows, duplicates dropped', 'Sum', own(ingest, 'Records', 'Rows', 'Duplicates')],
    ['Dead letters', 'Sum', [...own(ingest, 'DeadLetters'), ...own(searching, 'SinkDeadLetters')]],
    [
      'Dead letters by reason',
      'Sum',
      ingest.map(({ functionName }) => [
        {
          expression: `SEARCH('{${NAMESPACE},FunctionName,Reason} MetricName="DeadLettersByReason" FunctionName="${functionName}"', 'Sum', 300)`,
        },
      ]),
    ],
    ['Published rows and files', 'Sum', own(publish, 'PublishedRows', 'PublishedFiles', 'PublishedEntries')],
    ['Runs of publish', 'Sum', own(publish, 'PublishRuns', 'PublishBacklog', 'FailedPublishRuns', 'StoppedLanes')],
    [
      'Batch and sinks, longest (ms)',
      'Maximum',
      [...own(ingest, 'BatchMillis'), ...own(feedingLake, 'LakeMillis'), ...own(searching, 'SearchMillis')],
    ],
    [
      'From commit to file, and watermark behind the clock, longest (ms)',
      'Maximum',
      own(publish, 'PublishLagMillis', 'WatermarkLagMillis'),
    ],
    ['Late rows, partitions completed', 'Sum', own(publish, 'LateRows', 'CompletedPartitions')],
    ['What must not be', 'Sum', [...own(functions, 'InvariantViolations'), ...own(publish, 'ReconcileGap')]],
    ['Batches that come again, whole or in part', 'Sum', own(ingest, 'FailedBatches', 'PartialResponses')],
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
