import { defineConfig } from 'vite'

// Everything comes from the gateway's own address; with npm run dev, from one on 8000.
export default defineConfig({
  build: {
    target: 'es2022',
    assetsInlineLimit: 0, // the policy allows no data: in scripts and styles
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  server: { proxy: { '/api': 'http://127.0.0.1:8000', '/login': 'http://127.0.0.1:8000' } },
})
