// Icons of 16 pixels, drawn with one stroke. They never stand without a word but in the
// narrow rail, where the word is the title.
const paths = {
  overview: 'M2.5 7.5 8 3l5.5 4.500M4 7v6h8V7',
  traces: 'M7 11.200a4.200 4.200 0 1 0 0-8.400 4.200 4.200 0 0 0 0 8.400Zm3.200-1 3.300 3.300',
  map: 'M4 9.800a1.800 1.800 0 1 0 0-3.600 1.800 1.800 0 0 0 0 3.600Zm8-4a1.800 1.800 0 1 0 0-3.600 1.800 1.800 0 0 0 0 3.600Zm0 8a1.800 1.800 0 1 0 0-3.600 1.800 1.800 0 0 0 0 3.600ZM5.600 7.200l4.800-2.400M5.600 8.800l4.800 2.400',
  models: 'M2.500 13.500h11M4 11V8m2.700 3V4m2.600 7V6.500M12 11V9',
  alerts: 'M4 11V7.500a4 4 0 0 1 8 0V11l1 1.500H3L4 11Zm3 3.500h2',
  pipeline: 'M2.500 4.500h4m2 0h5m-11 3.500h7m2 0h2m-11 3.500h3m2 0h6',
  tail: 'M2.500 4h8m-8 4h5m-5 4h3m4.500-1.500 2.500 2.500 2.500-2.500m-2.500 2.500V7',
  admin: 'M8 8a2.700 2.700 0 1 0 0-5.400A2.700 2.700 0 0 0 8 8Zm-5 6a5 5 0 0 1 10 0',
  ok: 'm3 8.500 3.200 3L13 4.500',
  moved: 'M8 2l6 6-6 6-6-6Z',
  error: 'm4 4 8 8m0-8-8 8',
  warning: 'M8 2.500 14 13H2L8 2.500Zm0 4v3m0 1.800v.2',
  insufficient: 'M8 2.500a5.500 5.500 0 0 1 2.700.7m2 2a5.500 5.500 0 0 1 .8 2.600m-.8 3a5.500 5.500 0 0 1-2 2m-2.700.7a5.500 5.500 0 0 1-2.700-.7m-2-2a5.500 5.500 0 0 1-.8-2.800m.8-2.800a5.500 5.500 0 0 1 2-2',
  close: 'm4 4 8 8m0-8-8 8',
  right: 'm6 4 4 4-4 4',
  down: 'm4 6 4 4 4-4',
} as const

export type IconName = keyof typeof paths

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      <path d={paths[name]} class={name === 'moved' ? 'filled' : undefined} />
    </svg>
  )
}
