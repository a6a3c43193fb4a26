// Made by npm run types. Do not edit.

/** APIKey is a key, without the secret. */
export interface APIKey {
  id: string
  name: string
  tenant: string
  admin: boolean
  create_time: string | null
  expire_time: string | null
  role: string
  permissions: string[]
  spaces: string[]
  service_account: string
  last_use_time: string | null
  created_by: string
  replaced_by: string
}

/** Account is the sum for one signal over the days that the store keeps: */
export interface Account {
  tenant: string
  signal: string
  accepted: string
  stored: string
  duplicate: string
  rejected: { [key: string]: string }
  sampled: string
  dead_lettered: string
  in_flight: string
  missing_messages: string
  balanced: boolean
  dead_lettered_reasons: { [key: string]: string }
  pending_messages: string
  pending_unknown: boolean
  missing: string
  refused_requests: { [key: string]: string }
}

/** AcknowledgeAlertResponse is the alert. */
export interface AcknowledgeAlertResponse {
  alert: Alert | null
}

/** Alert is what one monitor noticed: features that moved, from the first on until */
export interface Alert {
  id: string
  profile: string
  profile_name: string
  range_start: string | null
  range_end: string | null
  raise_time: string | null
  repeat_time: string | null
  resolve_time: string | null
  acknowledge_time: string | null
  acknowledged_by: string
  occurrences: number
  exemplar_trace_ids: string[]
  link: string
  monitor: string
  detector: string
  severity: Severity
  moved: Score[]
  moved_count: number
  resolve_reason: string
  trigger: string
  late: boolean
  finding: string
  silenced_by: string
  page: string
}

export interface Any {
  '@type': string
}

/** AttributeFilter is an attribute that is looked for. */
export interface AttributeFilter {
  key: string
  value: string
}

/** AttributeTally is a key. */
export interface AttributeTally {
  key: string
  spans: string
  values: ValueTally[]
  more_values: boolean
}

/** BacktestChange is what would have happened to the alert of a monitor. */
export interface BacktestChange {
  slot: string | null
  range_start: string | null
  range_end: string | null
  monitor: string
  change: string
  moved: string[]
}

/** BacktestMonitor is what a backtest came to for one monitor. */
export interface BacktestMonitor {
  monitor: string
  detector: string
  judged: string
  drifted: string
  alerts: string
  open: boolean
  quiet_judged: string
  quiet_drifted: string
  quiet_alerts: string
  false_alarm_rate?: number
  delay: string
}

/** BacktestRequest says what to replay. */
export interface BacktestRequest {
  profile: string
  candidate: Profile | null
  start_time: string | null
  end_time: string | null
  change_time: string | null
  quiet_start: string | null
  quiet_end: string | null
  scores: boolean
}

/** BacktestResponse is a part of the answer. */
export interface BacktestResponse {
  progress: Progress | null
  change: BacktestChange | null
  summary: BacktestSummary | null
  slot: BacktestSlot | null
}

/** BacktestSlot is what a slot came to. */
export interface BacktestSlot {
  slot: string | null
  range_start: string | null
  range_end: string | null
  scores: Score[]
}

/** BacktestSummary is what a backtest came to. */
export interface BacktestSummary {
  start_time: string | null
  end_time: string | null
  slots: string
  records: string
  monitors: BacktestMonitor[]
}

/** Baseline summarises the reference values of a feature. Minimum, maximum and */
export interface Baseline {
  rows: string
  missing: string
  nan: string
  positive_infinite: string
  negative_infinite: string
  min: number
  max: number
  mean: number
  std_dev: number
  median: number
  moments: string
  deviations: string
  subgroups: Subgroups | null
  scouter_limits: ScouterLimits | null
}

/** BinScore is one bin's part of a score. */
export interface BinScore {
  label: string
  expected: number
  observed: number
  count: string
  contribution: number
  exemplars: Exemplar[]
}

/** Binning is a rule by which numeric bins are chosen. */
export interface Binning {
  rule: string
  bins: number
}

/** Budget is how many alerts may be raised in a time where nothing moved. */
export interface Budget {
  pages: number
  days: number
}

/** Certificate is one certificate. Keys are never told. */
export interface Certificate {
  role: CertificateRole
  service: string
  setting: string
  subject: string
  names: string[]
  issuer: string
  serial: string
  not_before: string | null
  not_after: string | null
  file: string
  problem: string
}

/** What it is for. */
export type CertificateRole = 'ROLE_UNSPECIFIED' | 'ROLE_OWN' | 'ROLE_AUTHORITY' | 'ROLE_PEER'

/** ChangePasswordRequest is a login and the new password. */
export interface ChangePasswordRequest {
  tenant: string
  username: string
  password: string
  new_password: string
  device: string
}

/** ChangePasswordResponse is a login with the new password. */
export interface ChangePasswordResponse {
  login: LoginResponse | null
}

/** Check is a value, an operator, and what is expected. */
export interface Check {
  name: string
  feature: string
  of: CheckOf
  value_json: string
  path: string
  item_path: string
  provider: string
  operator: string
  expected_json: string
  depends_on: string[]
  gate: boolean
}

/** CheckOf is what a check looks at. */
export type CheckOf = 'CHECK_OF_UNSPECIFIED' | 'CHECK_OF_CONTEXT' | 'CHECK_OF_TRACE' | 'CHECK_OF_RESPONSE' | 'CHECK_OF_JUDGE'

/** CheckOutcome is what became of a check. */
export type CheckOutcome = 'CHECK_OUTCOME_UNSPECIFIED' | 'CHECK_OUTCOME_PASSED' | 'CHECK_OUTCOME_FAILED' | 'CHECK_OUTCOME_SKIPPED' | 'CHECK_OUTCOME_NOT_RUN'

/** CheckResult is what one check came to. */
export interface CheckResult {
  name: string
  outcome: CheckOutcome
  actual_json: string
  message: string
  stage: number
}

/** CheckState says how far a record with a context is. */
export type CheckState = 'CHECK_STATE_UNSPECIFIED' | 'CHECK_STATE_PENDING' | 'CHECK_STATE_DONE'

/** CheckedRecord is a record with a context, and what its checks came to. */
export interface CheckedRecord {
  profile: string
  record_id: string
  event_time: string | null
  received_time: string | null
  trace_id: string
  context_json: string
  state: CheckState
  check_time: string | null
  duration: string
  passed: number
  failed: number
  results: CheckResult[]
  number: string
}

/** Checkpoint is a signed end of the chain. */
export interface Checkpoint {
  sequence: string
  hash: string
  time: string | null
  public_key: string
  signature: string
}

/** Checks say what is checked of every record with a context. Each record is an */
export interface Checks {
  member: string
  rate: string
  trace_member: string
  trace_attribute: string
  all: Check[]
}

/** Chunks summarises a statistic over chunks of the reference. */
export interface Chunks {
  mean: number
  std_dev: number
  number: number
}

/** Comparison counts rows of which both what was predicted and what came true are */
export interface Comparison {
  right: string
  wrong: string
  true_positive: string
  false_positive: string
  false_negative: string
  true_negative: string
  positives: string[]
  negatives: string[]
  absolute: Spread | null
  squared: Spread | null
  error_edges: number[]
  error_counts: string[]
}

/** Component is a direction in the space of features. */
export interface Component {
  weights: number[]
}

/** Context is a JSON object, such as the input and the output of an agent. */
export interface Context {
  json: string
}

/** Correction says how significance is kept over many judgements. */
export type Correction = 'CORRECTION_UNSPECIFIED' | 'CORRECTION_BENJAMINI_HOCHBERG' | 'CORRECTION_HOLM' | 'CORRECTION_BONFERRONI' | 'CORRECTION_NONE'

/** CountSpansRequest says what is counted, and how finely. */
export interface CountSpansRequest {
  query: TraceQuery | null
  time_buckets: number
  duration_buckets: number
  top: number
}

/** CountSpansResponse has every span once, in the version that stands. Of a span that */
export interface CountSpansResponse {
  total: SpanTally | null
  sampled: number
  step: string
  rows: DurationRow[]
  services: NamedTally[]
  more_services: boolean
  operations: NamedTally[]
  more_operations: boolean
}

/** Counted is how many values of a feature fell into a bin of its profile. Nothing */
export interface Counted {
  feature: string
  bin: string
  count: string
}

/** CreateAPIKeyRequest describes a key. */
export interface CreateAPIKeyRequest {
  name: string
  admin: boolean
  expire_time: string | null
  tenant: string
  role: string
  permissions: string[]
  spaces: string[]
  no_expiry: boolean
  service_account: string
}

/** CreateAPIKeyResponse is the key made. */
export interface CreateAPIKeyResponse {
  api_key: APIKey | null
  key: string
}

/** CreateProfileRequest is a profile to register. */
export interface CreateProfileRequest {
  profile: Profile | null
  request_id: string
  origin: Origin | null
  uid: string
}

/** CreateProfileResponse is the registered profile. */
export interface CreateProfileResponse {
  profile: Profile | null
  warnings: string[]
}

/** CreateSilenceResponse is the silence. */
export interface CreateSilenceResponse {
  silence: Silence | null
}

/** CreateTenantRequest names a tenant. */
export interface CreateTenantRequest {
  name: string
}

/** CreateTenantResponse is the tenant made. */
export interface CreateTenantResponse {
  tenant: Tenant | null
}

/** CreateUserRequest describes a user. */
export interface CreateUserRequest {
  tenant: string
  username: string
  password: string
  admin: boolean
  role: string
  spaces: string[]
  service_account: boolean
}

/** CreateUserResponse is the user made. */
export interface CreateUserResponse {
  user: User | null
}

/** DeadLetter is one parked message. A message that is parked again after a */
export interface DeadLetter {
  id: string
  state: DeadLetterState
  topic: string
  group: string
  message_id: string
  reason: string
  error: string
  attempts: number
  lane: string
  position: string
  first_seen_time: string | null
  dead_time: string | null
  worker: string
  type: string
  count: string
  value_bytes: string
  redrives: number
  redrive_time: string | null
  redriven_by: string
}

/** DeadLetterFilter says which parked letters. Every field that is set must */
export interface DeadLetterFilter {
  topic: string
  reason: string
  start_time: string | null
  end_time: string | null
}

/** DeadLetterState is where a letter is. */
export type DeadLetterState = 'DEAD_LETTER_STATE_UNSPECIFIED' | 'DEAD_LETTER_STATE_PARKED' | 'DEAD_LETTER_STATE_REDRIVEN'

/** DeleteTenantResponse is empty. */
export type DeleteTenantResponse = { [key: string]: unknown }

/** DeleteUserResponse is empty. */
export type DeleteUserResponse = { [key: string]: unknown }

/** Delivery is one change of an alert on its way to one route. */
export interface Delivery {
  id: string
  alert: string
  event: string
  change: string
  route: string
  state: DeliveryState
  create_time: string | null
  due_time: string | null
  settle_time: string | null
  attempts: number
  error: string
  sequence: string
}

/** DeliveryState is how far news have come on their way to a route. */
export type DeliveryState = 'DELIVERY_STATE_UNSPECIFIED' | 'DELIVERY_STATE_WAITING' | 'DELIVERY_STATE_SENT' | 'DELIVERY_STATE_FAILED' | 'DELIVERY_STATE_SILENCED' | 'DELIVERY_STATE_OVERTAKEN'

/** Dependency says how often one service called another: spans whose parent is */
export interface Dependency {
  parent: string
  child: string
  calls: string
}

/** Deviations is a distance from the mean of a statistic over reference chunks. */
export interface Deviations {
  sigmas: number
  chunks: { [key: string]: Chunks }
}

/** AcknowledgeAlertRequest names an alert. */
export type DriftServiceAcknowledgeAlertBody = { [key: string]: unknown }

/** DurationRow is the spans that take so long, over time. */
export interface DurationRow {
  from: string
  to: string
  spans: number[]
  errors: number[]
}

/** Entry is one thing that somebody did, or tried to do. */
export interface Entry {
  sequence: string
  id: string
  time: string | null
  tenant: string
  actor: string
  kind: string
  home: string
  source: string
  action: string
  object: string
  outcome: string
  reason: string
  count: string
  trace: string
  hash: string
}

/** EvaluateRangeRequest asks for scores of a range of event time. */
export interface EvaluateRangeRequest {
  profile: string
  start_time: string | null
  end_time: string | null
  alert: boolean
  wait: string
}

/** EvaluateRangeResponse is a part of the answer. */
export interface EvaluateRangeResponse {
  progress: Progress | null
  evaluation: Evaluation | null
  behind: string
}

/** EvaluateRequest asks for scores of a range of event time. */
export interface EvaluateRequest {
  profile: string
  start_time: string | null
  end_time: string | null
  alert: boolean
}

/** EvaluateResponse is the result. */
export interface EvaluateResponse {
  evaluation: Evaluation | null
}

/** Evaluation is the scores of all features over one range. */
export interface Evaluation {
  profile: string
  profile_name: string
  start_time: string | null
  end_time: string | null
  scores: Score[]
  records: string
  slot: string | null
}

/** ExchangeTokenRequest is a token of a provider. Fields are called as in RFC 8693. */
export interface ExchangeTokenRequest {
  grant_type: string
  subject_token: string
  subject_token_type: string
}

/** ExchangeTokenResponse is a token of ours. There is no refresh token. */
export interface ExchangeTokenResponse {
  access_token: string
  issued_token_type: string
  token_type: string
  expires_in: number
  expire_time: string | null
  tenant: string
  username: string
}

/** Exemplar is a record that fell into a bin. */
export interface Exemplar {
  record_id: string
  trace_id: string
  span_id: string
}

/** ExpireSilenceResponse is the silence. */
export interface ExpireSilenceResponse {
  silence: Silence | null
}

/** ExplainResponse says what the shift consists of. */
export interface ExplainResponse {
  profile: string
  profile_name: string
  feature: string
  start_time: string | null
  end_time: string | null
  records: string
  moved: boolean
  shift: number
  cells: BinScore[]
  tried: number
  slices: Slice[]
  scores: Score[]
  monitor: string
}

/** ExportChainResponse is the next piece of the chain. */
export interface ExportChainResponse {
  entries: Entry[]
  checkpoint: Checkpoint | null
}

/** Feature is one named value. */
export interface Feature {
  name: string
  int: string
  float: number
  string: string
  bool: boolean
  missing: Missing | null
}

/** FeatureGroup is several numeric features that monitors judge together: complete */
export interface FeatureGroup {
  features: string[]
  rows: string
  incomplete: string
  means: number[]
  covariances: number[]
  components: Component[]
  residual: Residual | null
  kurtosis: number
}

/** FeatureKind is how a feature is binned. */
export type FeatureKind = 'FEATURE_KIND_UNSPECIFIED' | 'FEATURE_KIND_NUMERIC' | 'FEATURE_KIND_CATEGORY'

/** FeatureProfile is the reference distribution of one feature. */
export interface FeatureProfile {
  name: string
  kind: FeatureKind
  edges: number[]
  categories: string[]
  counts: string[]
  type: string
  proportions: number[]
  baseline: Baseline | null
}

/** FeatureSummary is what was counted of one feature. */
export interface FeatureSummary {
  name: string
  counts: string[]
  number: string
  mean: number
  std_dev: number
  states: { [key: string]: string }
}

/** Features are the values of one model input. A feature of the profile that is */
export interface Features {
  values: Feature[]
}

/** FindTaggedRequest says which tags. */
export interface FindTaggedRequest {
  entity_type: string
  tags: Tag[]
  match_all: boolean
}

/** FindTaggedResponse lists things. */
export interface FindTaggedResponse {
  entity_ids: string[]
  truncated: boolean
}

/** GetAlertResponse is the alert. */
export interface GetAlertResponse {
  alert: Alert | null
}

/** GetDeadLetterResponse is the letter as it was parked. */
export interface GetDeadLetterResponse {
  dead_letter: DeadLetter | null
  headers: Header[]
  key: string
  value: string
  preview: string
  preview_note: string
}

/** GetLedgerResponse is the tenant's ledger. */
export interface GetLedgerResponse {
  accounts: Account[]
}

/** GetLimitsResponse is what a tenant may use. */
export interface GetLimitsResponse {
  tenant: string
  limits: Limits | null
  overrides: Limits | null
}

/** GetProfileResponse is the profile. */
export interface GetProfileResponse {
  profile: Profile | null
  origin: Origin | null
}

/** GetServiceGraphResponse is the graph: those called most, when there are more */
export interface GetServiceGraphResponse {
  nodes: GraphNode[]
  edges: GraphEdge[]
  one_in: string
  spans: string
  truncated: boolean
}

/** GraphDwell is how long messages waited in a broker: what the mesh says itself */
export interface GraphDwell {
  count: string
  p50: string
  p95: string
  redelivered: string
}

/** GraphEdge is a call from service to service, or a message to a topic, or from */
export interface GraphEdge {
  from: GraphPlace | null
  to: GraphPlace | null
  figures: GraphFigures | null
  dwell: GraphDwell | null
}

/** GraphFigures are counts of spans, and quantiles of their durations, as */
export interface GraphFigures {
  calls: string
  errors: string
  p50: string
  p95: string
  p99: string
}

/** GraphNode is a service or a topic. */
export interface GraphNode {
  place: GraphPlace | null
  system: string
  figures: GraphFigures | null
  dwell: GraphDwell | null
}

/** GraphPlace names a node. */
export interface GraphPlace {
  kind: NodeKind
  name: string
  mesh: boolean
}

/** GroupLag is how far a group is behind. */
export interface GroupLag {
  group: string
  pending: string
  in_flight: string
  total: string
  oldest_age: string
  known: boolean
  problem: string
}

/** Header is one entry of a message's metadata. */
export interface Header {
  key: string
  value: string
}

/** Limits are what one tenant may use. What is not set is not said; 0 is no limit. */
export interface Limits {
  ingest_rate?: string
  ingest_burst?: string
  ingest_items?: string
  ingest_items_burst?: string
  in_flight?: string
  backlog?: string
  tails?: string
  profiles?: string
  shortest_schedule_seconds?: string
  queries?: string
  query_seconds?: string
  query_read?: string
  retained?: string
}

/** ListAPIKeysResponse lists keys. */
export interface ListAPIKeysResponse {
  api_keys: APIKey[]
}

/** ListAlertsResponse is a page. */
export interface ListAlertsResponse {
  alerts: Alert[]
  next_page_token: string
}

/** ListAttributesRequest says whose attributes are listed, and which. */
export interface ListAttributesRequest {
  query: TraceQuery | null
  key: string
  containing: string
  keys: number
  values: number
}

/** ListAttributesResponse has the attributes of spans and of their resources. */
export interface ListAttributesResponse {
  attributes: AttributeTally[]
  truncated: boolean
  spans: string
  looked_at: string
}

/** ListCertificatesResponse is all certificates that one process knows. */
export interface ListCertificatesResponse {
  certificates: Certificate[]
  instance: string
}

/** ListCheckedRecordsResponse is a page of them. */
export interface ListCheckedRecordsResponse {
  records: CheckedRecord[]
  next_page_token: string
}

/** ListDeadLettersResponse is a page. */
export interface ListDeadLettersResponse {
  dead_letters: DeadLetter[]
  next_page_token: string
}

/** ListDeliveriesResponse is a page. */
export interface ListDeliveriesResponse {
  deliveries: Delivery[]
  next_page_token: string
}

/** ListDependenciesResponse lists who calls whom. */
export interface ListDependenciesResponse {
  dependencies: Dependency[]
  truncated: boolean
}

/** ListEntriesResponse has a page. */
export interface ListEntriesResponse {
  entries: Entry[]
  next_page_token: string
}

/** ListOperationsResponse lists operations. */
export interface ListOperationsResponse {
  operations: Operation[]
  truncated: boolean
}

/** ListProfileStatusesResponse is a page. */
export interface ListProfileStatusesResponse {
  statuses: ProfileStatus[]
  next_page_token: string
}

/** ListProfilesResponse is a page. */
export interface ListProfilesResponse {
  profiles: Profile[]
  next_page_token: string
}

/** ListProvidersResponse lists providers. */
export interface ListProvidersResponse {
  providers: Provider[]
}

/** ListRecordsResponse is a page. */
export interface ListRecordsResponse {
  records: StoredRecord[]
  next_page_token: string
}

/** ListScoresResponse is a page. */
export interface ListScoresResponse {
  evaluations: Evaluation[]
  next_page_token: string
}

/** ListSendersRequest names data of the caller's tenant. */
export interface ListSendersRequest {
  trace_id: string
  records: RecordsSent | null
}

/** ListSendersResponse says who sent the data. */
export interface ListSendersResponse {
  sent: Sent[]
}

/** ListServicesResponse lists services. */
export interface ListServicesResponse {
  services: string[]
  truncated: boolean
}

/** ListSettingsResponse is all settings of one process. */
export interface ListSettingsResponse {
  settings: Setting[]
  instance: string
  version: string
}

/** ListSilencesResponse is a page. */
export interface ListSilencesResponse {
  silences: Silence[]
  next_page_token: string
}

/** ListTagsResponse lists tags. */
export interface ListTagsResponse {
  tags: Tag[]
}

/** ListTenantsResponse lists tenants. */
export interface ListTenantsResponse {
  tenants: Tenant[]
}

/** ListTopicsResponse is all topics. */
export interface ListTopicsResponse {
  topics: Topic[]
}

/** ListUsersResponse lists users. */
export interface ListUsersResponse {
  users: User[]
}

/** LoginRequest is a name and a password. */
export interface LoginRequest {
  tenant: string
  username: string
  password: string
  device: string
}

/** LoginResponse is a token. */
export interface LoginResponse {
  token: string
  expire_time: string | null
  refresh_token: string
  session_expire_time: string | null
  device: string
}

/** LogoutRequest is a refresh token. */
export interface LogoutRequest {
  refresh_token: string
}

/** LogoutResponse is empty. */
export type LogoutResponse = { [key: string]: unknown }

/** MeasureServicesRequest says what is measured, and at which times. An answer */
export interface MeasureServicesRequest {
  services: string[]
  span_kinds: string[]
  by_operation: boolean
  start_time: string | null
  end_time: string | null
  step: string
  window: string
  quantile?: number
  estimate: boolean
}

/** MeasureServicesResponse has the series with a call in at least one window. */
export interface MeasureServicesResponse {
  series: ServiceSeries[]
  sampled: number
}

/** Metric is one named number. */
export interface Metric {
  name: string
  value: number
}

/** Metrics are numbers measured about a model. */
export interface Metrics {
  values: Metric[]
}

/** Missing says that there is no value. */
export type Missing = { [key: string]: unknown }

/** Monitor watches features of a profile with one detector. */
export interface Monitor {
  name: string
  detector: string
  features: string[]
  parameters: { [key: string]: number }
  threshold: Threshold | null
  min_sample: string
  persistence: Persistence | null
  severity: Severity
  routes: string[]
}

/** NamedTally counts the spans of a service or an operation. */
export interface NamedTally {
  name: string
  tally: SpanTally | null
}

/** NodeKind says what a node is. */
export type NodeKind = 'NODE_KIND_UNSPECIFIED' | 'NODE_KIND_SERVICE' | 'NODE_KIND_TOPIC'

/** Operation is a span name of a service. */
export interface Operation {
  name: string
  span_kind: string
}

/** Origin is what a profile was made from: the document of another system. */
export interface Origin {
  format: string
  document: string
}

/** Outcome says which features hold what was predicted and what came true of it, */
export interface Outcome {
  target: string
  prediction: string
  score: string
  positive: string
  reference: Comparison | null
}

/** Persistence asks for drift in k of the last n evaluations that had enough to */
export interface Persistence {
  k: number
  n: number
}

/** Profile fixes, from reference data, what later data is compared with. */
export interface Profile {
  uid: string
  space: string
  name: string
  version: string
  create_time: string | null
  active: boolean
  features: FeatureProfile[]
  reference_rows: string
  schedule: Schedule | null
  correction: Correction
  monitors: Monitor[]
  binning: Binning | null
  outcome: Outcome | null
  source: Source | null
  reference_span: string
  groups: FeatureGroup[]
  checks: Checks | null
}

/** ProfileStatus is how an active profile stands. */
export interface ProfileStatus {
  profile: Profile | null
  start_time: string | null
  end_time: string | null
  slot: string | null
  records: string
  scores: Score[]
  moved: number
  ok: number
  insufficient: number
  open_alerts: number
  newest_alert: string
  data_time: string | null
}

/** Progress is how far a long call is. */
export interface Progress {
  done: string
  total: string
  unit: string
}

/** Provider is an OpenID provider. */
export interface Provider {
  name: string
  issuer: string
  login: boolean
  browser: boolean
  exchange: boolean
}

/** PublishRecordsRequest is one batch. */
export interface PublishRecordsRequest {
  records: Record[]
}

/** PublishRecordsResponse says what became of the batch. */
export interface PublishRecordsResponse {
  accepted: string
  rejected: string
  rejections: Rejection[]
}

/** QuerySeriesResponse is the series that there are. */
export interface QuerySeriesResponse {
  series: Series[]
}

/** Record is one fact about one prediction, call or step. */
export interface Record {
  id: string
  event_time: string | null
  profile: string
  traceparent: string
  tracestate: string
  features: Features | null
  metrics: Metrics | null
  context: Context | null
  counted: Counted | null
  labels: Features | null
}

/** RecordsSent names records of a profile. */
export interface RecordsSent {
  profile: string
  record_id: string
  start_time: string | null
  end_time: string | null
}

/** RedriveDeadLettersRequest names letters by id, or by a filter: one of the two. */
export interface RedriveDeadLettersRequest {
  ids: string[]
  filter: DeadLetterFilter | null
  limit: number
}

/** RedriveDeadLettersResponse answers for every letter. */
export interface RedriveDeadLettersResponse {
  results: RedriveResult[]
  more: boolean
}

/** RedriveOutcome is what became of one letter. */
export type RedriveOutcome = 'REDRIVE_OUTCOME_UNSPECIFIED' | 'REDRIVE_OUTCOME_REDRIVEN' | 'REDRIVE_OUTCOME_ALREADY_REDRIVEN' | 'REDRIVE_OUTCOME_NOT_FOUND' | 'REDRIVE_OUTCOME_REFUSED' | 'REDRIVE_OUTCOME_TRY_AGAIN'

/** RedriveResult is what became of one letter. */
export interface RedriveResult {
  id: string
  outcome: RedriveOutcome
  message: string
}

/** RefreshTokenRequest is a refresh token. */
export interface RefreshTokenRequest {
  refresh_token: string
}

/** RefreshTokenResponse is what takes its place. */
export interface RefreshTokenResponse {
  token: string
  expire_time: string | null
  refresh_token: string
  session_expire_time: string | null
}

/** Rejection says why one record was refused. */
export interface Rejection {
  index: number
  record_id: string
  field: string
  reason: string
  message: string
}

/** ResetPasswordRequest names a user. */
export interface ResetPasswordRequest {
  tenant: string
  username: string
}

/** ResetPasswordResponse is a password that is good for choosing another. */
export interface ResetPasswordResponse {
  password: string
  expire_time: string | null
}

/** Residual is the squared distance of rows to components. */
export interface Residual {
  number: string
  mean: number
  std_dev: number
  skewness: number
}

/** RevokeAPIKeyResponse is empty. */
export type RevokeAPIKeyResponse = { [key: string]: unknown }

/** RotateAPIKeyRequest names a key. */
export interface RotateAPIKeyRequest {
  id: string
  overlap: string
}

/** RotateAPIKeyResponse is the key made. */
export interface RotateAPIKeyResponse {
  api_key: APIKey | null
  key: string
  old_expire_time: string | null
}

/** RotateSigningKeysRequest asks for a new key. */
export type RotateSigningKeysRequest = { [key: string]: unknown }

/** RotateSigningKeysResponse is the key made. */
export interface RotateSigningKeysResponse {
  key_id: string
  sign_time: string | null
}

/** RunNowRequest names a profile. */
export interface RunNowRequest {
  profile: string
}

/** RunNowResponse is what came of it. */
export interface RunNowResponse {
  evaluation: Evaluation | null
}

/** Schedule says when a profile is evaluated, and over what. */
export interface Schedule {
  cron: string
  zone: string
  lookback: string
  on_close: boolean
}

/** Score is the verdict of one monitor on one feature. */
export interface Score {
  feature: string
  detector: string
  verdict: Verdict
  value?: number
  threshold?: number
  sample: string
  bins: BinScore[]
  monitor: string
  reference: string
  p_value?: number
  adjusted_p_value?: number
  false_alarm_rate?: number
  min_sample: string
  states: BinScore[]
  lower_threshold?: number
  judged?: number
  method: string
  caveats: string[]
}

/** ScouterLimits are what Scouter's control chart takes its limits from. */
export interface ScouterLimits {
  center: number
  sigma: number
}

/** SearchTracesRequest asks for summaries. */
export interface SearchTracesRequest {
  query: TraceQuery | null
  page_size: number
  page_token: string
}

/** SearchTracesResponse is a page of summaries. */
export interface SearchTracesResponse {
  traces: TraceSummary[]
  next_page_token: string
}

/** Sent is what one sender sent of one kind. */
export interface Sent {
  sender: string
  kind: string
  items: string
  first_time: string | null
  last_time: string | null
}

/** Series is the statistic of one monitor on one feature over time. */
export interface Series {
  monitor: string
  feature: string
  detector: string
  points: SeriesPoint[]
}

/** SeriesPoint sums up the slots in one part of the range. */
export interface SeriesPoint {
  first_slot: string | null
  last_slot: string | null
  slots: number
  min?: number
  mean?: number
  max?: number
  verdict: Verdict
  drifted: number
  insufficient: number
  sample: string
  threshold?: number
  lower_threshold?: number
}

/** ServiceCount is the share of a service in a trace. */
export interface ServiceCount {
  service: string
  spans: number
  errors: number
  offset: string
  duration: string
}

/** ServiceSeries is a service, or one operation of it, over time. */
export interface ServiceSeries {
  service: string
  operation: string
  calls: string[]
  errors: string[]
  durations: number[]
  duration: number
}

/** SetLimitsRequest changes limits. */
export interface SetLimitsRequest {
  tenant: string
  limits: Limits | null
  to_default: string[]
}

/** SetLimitsResponse is what the tenant may use now. */
export interface SetLimitsResponse {
  limits: Limits | null
  overrides: Limits | null
}

/** SetProfileActiveRequest names a profile and its state. */
export interface SetProfileActiveRequest {
  profile: string
  active: boolean
}

/** SetProfileActiveResponse is the profile. */
export interface SetProfileActiveResponse {
  profile: Profile | null
}

/** SetTagsRequest is tags to set. */
export interface SetTagsRequest {
  tags: Tag[]
}

/** SetTagsResponse is empty. */
export type SetTagsResponse = { [key: string]: unknown }

/** SetTenantDisabledRequest names a tenant. */
export interface SetTenantDisabledRequest {
  name: string
  disabled: boolean
}

/** SetTenantDisabledResponse is empty. */
export type SetTenantDisabledResponse = { [key: string]: unknown }

/** SetUserDisabledRequest names a user. */
export interface SetUserDisabledRequest {
  tenant: string
  username: string
  disabled: boolean
}

/** SetUserDisabledResponse is empty. */
export type SetUserDisabledResponse = { [key: string]: unknown }

/** SetUserRoleRequest names a user and what it is to be. */
export interface SetUserRoleRequest {
  tenant: string
  username: string
  role: string
  spaces: string[]
}

/** SetUserRoleResponse is the user as it is now. */
export interface SetUserRoleResponse {
  user: User | null
}

/** Setting is one setting. */
export interface Setting {
  name: string
  value: string
  default_value: string
  source: string
  help: string
  secret: boolean
}

/** Severity says how much an alert matters. */
export type Severity = 'SEVERITY_UNSPECIFIED' | 'SEVERITY_INFO' | 'SEVERITY_WARNING' | 'SEVERITY_CRITICAL'

/** Signal is a kind of telemetry. */
export type Signal = 'SIGNAL_UNSPECIFIED' | 'SIGNAL_SPANS' | 'SIGNAL_RECORDS'

/** Silence keeps alerts that it matches from being told for a while. They are */
export interface Silence {
  id: string
  space: string
  profile: string
  monitor: string
  feature: string
  start_time: string | null
  end_time: string | null
  reason: string
  created_by: string
  create_time: string | null
  expire_time: string | null
  expired_by: string
  active: boolean
}

/** Slice is the records of the range with one value of another feature. */
export interface Slice {
  feature: string
  value: string
  records: string
  share: number
  moved: string
  shift_share: number
  lift: number
  p_value: number
  adjusted_p_value: number
  unseen: boolean
}

/** Source says what observations are made of. Of spans, a feature takes its value */
export interface Source {
  service: string
  operation: string
  kind: string
  attributes: { [key: string]: string }
  of: SourceKind
}

/** SourceKind is what observations are made of. */
export type SourceKind = 'SOURCE_KIND_UNSPECIFIED' | 'SOURCE_KIND_SPANS' | 'SOURCE_KIND_METRICS' | 'SOURCE_KIND_CONTEXTS'

/** SpanTally counts spans, and the traces that they are of. */
export interface SpanTally {
  spans: string
  errors: string
  traces: string
  error_traces: string
}

/** Spread sums up some values. */
export interface Spread {
  number: string
  mean: number
  std_dev: number
}

export interface Status {
  code: number
  message: string
  details: Any[]
}

/** StepSummary is what was counted in one step. */
export interface StepSummary {
  start_time: string | null
  features: FeatureSummary[]
}

/** StoredRecord is a record as it is kept. */
export interface StoredRecord {
  record: Record | null
  profile_name: string
  trace_id: string
  span_id: string
  received_time: string | null
}

/** StreamRecordsRequest is the next batch of the stream. */
export interface StreamRecordsRequest {
  records: Record[]
}

/** StreamRecordsResponse sums up the stream. */
export interface StreamRecordsResponse {
  batches: string
  accepted: string
  rejected: string
  rejections: Rejection[]
}

/** Subgroups are runs of the finite values of a reference, all of one size. */
export interface Subgroups {
  size: number
  means: number[]
  std_devs: number[]
}

/** SummarizeResponse has the steps in which something was counted. */
export interface SummarizeResponse {
  steps: StepSummary[]
}

/** Tag is a word about a thing. */
export interface Tag {
  entity_type: string
  entity_id: string
  key: string
  value: string
}

/** TailResponse is what arrived. */
export interface TailResponse {
  record: Record | null
  otlp_traces: string
  missed: string
}

/** Tenant owns data. */
export interface Tenant {
  name: string
  create_time: string | null
  disable_time: string | null
}

/** Threshold says when a statistic is drift. */
export interface Threshold {
  fixed: number
  significance: number
  budget: Budget | null
  deviations: Deviations | null
}

/** Topic is one topic. */
export interface Topic {
  name: string
  dead_letters: boolean
  groups: GroupLag[]
}

/** TraceQuery says which spans match. Every filter that is set must hold for one */
export interface TraceQuery {
  service: string
  operation: string
  attributes: { [key: string]: string }
  start_time: string | null
  end_time: string | null
  min_duration: string
  max_duration: string
  trace_ids: string[]
  any_attribute: AttributeFilter[]
}

/** TraceSummary is a trace in one line. */
export interface TraceSummary {
  trace_id: string
  root_service: string
  root_operation: string
  start_time: string | null
  duration: string
  spans: number
  errors: number
  services: string[]
  service_counts: ServiceCount[]
  has_root: boolean
}

/** User is a person or a program with a password. */
export interface User {
  tenant: string
  username: string
  admin: boolean
  create_time: string | null
  role: string
  spaces: string[]
  service_account: boolean
  disable_time: string | null
  last_login_time: string | null
  must_change_password: boolean
  issuer: string
  subject: string
}

/** ValueTally is a value of a key. */
export interface ValueTally {
  value: string
  spans: string
}

/** Verdict is what a detector concludes. */
export type Verdict = 'VERDICT_UNSPECIFIED' | 'VERDICT_OK' | 'VERDICT_DRIFT' | 'VERDICT_INSUFFICIENT'

/** WhoAmIResponse is the caller's identity. */
export interface WhoAmIResponse {
  tenant: string
  subject: string
  kind: string
  admin: boolean
  role: string
  permissions: string[]
  spaces: string[]
}
