// What cdk-nag's AWS solutions pack says of a CloudFormation template: a line of JSON for each finding.
//
//   node nag.mjs TEMPLATE.json

import { App, Stack } from 'aws-cdk-lib';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';
import { AwsSolutionsChecks } from 'cdk-nag';

const app = new App();
const stack = new Stack(app, 'reviewed');
new CfnInclude(stack, 'Template', { templateFile: process.argv[2] });
const report = new AwsSolutionsChecks(app).validateScope(app);
for (const violation of report.violations) {
  for (const found of violation.violatingResources ?? violation.violatingConstructs) {
    const resource = found.resourceLogicalId ?? found.constructPath.split('/').pop();
    console.log(JSON.stringify({ rule: violation.ruleName, resource }));
  }
}
