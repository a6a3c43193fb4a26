/** colours gives each service a colour by the order in which they come; beyond twelve
 * they share one, and are named. */
export function colours(services: Iterable<string>): (service: string) => string {
  const at = new Map<string, string>()
  for (const s of services) if (!at.has(s)) at.set(s, at.size < 12 ? `svc-${at.size + 1}` : 'svc-rest')
  return (service) => at.get(service) ?? 'svc-rest'
}
