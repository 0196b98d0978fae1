// Two stacks from the zips of `make package`. Settings are context, as in `cdk deploy TriplineQuickstart -c name=trips`:
// infra/README.md has them all.

import { join } from 'node:path';
import { App, aws_lambda as lambda } from 'aws-cdk-lib';
import { fromFolder } from './lib/packages';
import { TriplinePrivate, TriplineQuickstart } from './stacks';

const app = new App();
const context = (key: string): string | undefined => app.node.tryGetContext(key) as string | undefined;
const architecture = context('architecture') ?? 'x86_64';
if (!['x86_64', 'arm64'].includes(architecture)) throw new Error(`architecture ${architecture}: x86_64 or arm64`);

const common = {
  name: context('name') ?? 'tripline-trips',
  pipeline: context('pipeline') ?? 'taxi',
  packages: fromFolder(context('packageFolder') ?? join(__dirname, '../../../target/lambda')),
  architecture: architecture === 'arm64' ? lambda.Architecture.ARM_64 : lambda.Architecture.X86_64,
  successEvents: context('successEvents') === 'true',
  alarmEmails: (context('alarmEmails') ?? '').split(',').filter((email) => email !== ''),
};
new TriplineQuickstart(app, 'TriplineQuickstart', common);

// What nobody else can know; without them there is the one stack only.
const searchMasterArn = context('searchMasterArn');
const s3PrefixListId = context('s3PrefixList');
if (searchMasterArn && s3PrefixListId) {
  new TriplinePrivate(app, 'TriplinePrivate', {
    ...common,
    searchMasterArn,
    s3PrefixListId,
    cidr: context('cidr') ?? '10.42.0.0/16',
    searchInstanceType: context('searchInstanceType') ?? 'r7g.large.search',
    searchVolumeGib: Number(context('searchVolumeGib') ?? 100),
    serviceLinkedRole: context('serviceLinkedRole') === 'true',
    tracing: context('tracing') === 'true',
  });
}
