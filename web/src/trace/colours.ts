/** colorOf is the class of the service that comes i-th; beyond twelve they share one, and
 * are named. */
export const colorOf = (i: number): string => (i < 12 ? `svc-${i + 1}` : 'svc-rest')

/** colours gives each service a colour by the order in which they come. */
export function colours(services: Iterable<string>): (service: string) => string {
  const at = new Map<string, string>()
  for (const s of services) if (!at.has(s)) at.set(s, colorOf(at.size))
  return (service) => at.get(service) ?? colorOf(Infinity)
}
