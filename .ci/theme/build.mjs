// Makes consent/pages/static/theme.css anew: the Utrecht components as element styles, reduced to what the
// templates use, and of the example theme the tokens that these and our own sheet read.
//
//     npm install --ignore-scripts && node build.mjs
//
// The result is committed with the licence of both packages, so that running needs no Node.js.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PurgeCSS } from 'purgecss';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = `${here}../../`;
const packages = `${here}node_modules/`;
const read = (path) => readFileSync(path, 'utf8');
const bare = (css) => css.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\s+/g, ' ').trim();

const templates = [
  'consent/pages', 'nodes/desk', 'nodes/portal', 'nodes/source_pages', 'index/web'];
const [kept] = await new PurgeCSS().purge({
  content: templates.map((folder) => `${root}${folder}/templates/**/*.html`),
  css: [{ raw: read(`${packages}@utrecht/component-library-css/dist/html.css`) }],
  variables: false,
  blocklist: [/\b(ul|ol|li)\b/], // lists have no marks of their own here; most are no lists to the eye
});
const components = bare(kept.css.replace(/@charset[^;]*;/, '')).replace(/@media print \{ \}/g, '');
const tokens = new Map(
  [...bare(read(`${packages}@nl-design-system-unstable/voorbeeld-design-tokens/dist/variables.css`)).matchAll(/(--[\w-]+):\s*([^;]+);/g)]
    .map(([, name, value]) => [name, value.trim()]),
);
const wanted = new Set();
const want = (text) => {
  for (const [name] of text.matchAll(/--[\w-]+/g)) {
    if (tokens.has(name) && !wanted.has(name)) {
      wanted.add(name);
      want(tokens.get(name));
    }
  }
};
want(components + read(`${root}consent/pages/static/style.css`));
const lines = [...wanted].sort().map((name) => `${name}:${tokens.get(name)};`).join('\n');
writeFileSync(
  `${root}consent/pages/static/theme.css`,
  '/* @utrecht/component-library-css 9.0.4 and @nl-design-system-unstable/voorbeeld-design-tokens 7.4.1, reduced.\n' +
    '   Copyright (c) Gemeente Utrecht, Frameless, NL Design System Community. EUPL-1.2, see LICENSE-theme.md.\n' +
    '   Made by .ci/theme/build.mjs; do not edit. */\n' +
    `@layer theme {\n:root {\n${lines}\n}\n${components.replace(/\} /g, '}\n')}\n}\n`,
);
