// Light, dark, or as the system has it.
import { effect, signal } from '@preact/signals'

export type Theme = 'system' | 'light' | 'dark'

export const theme = signal<Theme>((localStorage.getItem('theme') as Theme | null) ?? 'system')

export function followTheme(): void {
  effect(() => {
    localStorage.setItem('theme', theme.value)
    if (theme.value === 'system') delete document.documentElement.dataset.theme
    else document.documentElement.dataset.theme = theme.value
  })
}
