// Shapes of the API that the fleet's pages read. Times are epoch seconds, blobs base64.

export interface CoreSummary {
  coreDeviceThingName: string;
  status: "HEALTHY" | "UNHEALTHY";
  lastStatusUpdateTimestamp?: number;
  platform?: string;
  architecture?: string;
  runtime?: string;
}

export interface Core extends CoreSummary {
  coreVersion?: string;
  tags?: Record<string, string>;
}

export interface InstalledComponent {
  componentName: string;
  componentVersion: string;
  lifecycleState: string;
  lifecycleStateDetails?: string;
  isRoot?: boolean;
  lastStatusChangeTimestamp?: number;
}

export interface EffectiveDeployment {
  deploymentId: string;
  deploymentName?: string;
  targetArn: string;
  coreDeviceExecutionStatus: string;
  reason?: string;
  statusDetails?: { errorStack?: string[]; errorTypes?: string[] };
  creationTimestamp: number;
  modifiedTimestamp: number;
}

export interface ComponentSummary {
  componentName: string;
  arn: string;
  latestVersion?: {
    arn: string;
    componentVersion: string;
    creationTimestamp?: number;
    description?: string;
    publisher?: string;
  };
}

export interface ComponentVersion {
  componentName: string;
  componentVersion: string;
  arn: string;
}

export interface ComponentDescription {
  arn: string;
  componentName: string;
  componentVersion: string;
  creationTimestamp?: number;
  publisher?: string;
  description?: string;
  status?: { componentState?: string; message?: string; errors?: Record<string, string> };
}

export interface ConfigurationUpdate {
  /** JSON pointers; an empty one resets everything. */
  reset?: string[];
  /** JSON text. */
  merge?: string;
}

export interface DeployedComponent {
  componentVersion: string;
  configurationUpdate?: ConfigurationUpdate;
}

export interface DeploymentSummary {
  deploymentId: string;
  deploymentName?: string;
  revisionId: string;
  targetArn: string;
  deploymentStatus: string;
  creationTimestamp: number;
  isLatestForTarget?: boolean;
}

export interface Deployment extends DeploymentSummary {
  iotJobId?: string;
  components?: Record<string, DeployedComponent>;
  deploymentPolicies?: {
    failureHandlingPolicy?: string;
    componentUpdatePolicy?: { timeoutInSeconds?: number; action?: string };
  };
  iotJobConfiguration?: { jobExecutionsRolloutConfig?: { maximumPerMinute?: number } };
}

export interface JobExecutionSummary {
  thingArn: string;
  jobExecutionSummary: {
    status: string;
    queuedAt?: number;
    startedAt?: number;
    lastUpdatedAt?: number;
  };
}

export interface Thing {
  thingName: string;
  thingArn: string;
  thingTypeName?: string;
  attributes?: Record<string, string>;
  version: number;
}

export interface GroupRef {
  groupName: string;
  groupArn: string;
}

export interface ClientDevice {
  thingName: string;
  associationTimestamp?: number;
}

/** A core that has said nothing for so long is worth a look (the nucleus reports daily by default). */
export const SILENT_SECONDS = 25 * 3600;

export function isSilent(core: CoreSummary, now: number): boolean {
  return core.lastStatusUpdateTimestamp !== undefined && now - core.lastStatusUpdateTimestamp > SILENT_SECONDS;
}
