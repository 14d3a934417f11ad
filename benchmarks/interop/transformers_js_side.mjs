// A pipeline of transformers.js: node transformers_js_side.mjs REQUEST.json ANSWER.json
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { env, pipeline } from '@huggingface/transformers';

const [asked, answered] = process.argv.slice(2);
const { folder, task, dtype, texts, options } = JSON.parse(readFileSync(asked, 'utf8'));
env.allowRemoteModels = false;
env.localModelPath = `${dirname(folder)}/`;
const run = await pipeline(task, basename(folder), { dtype });
let output;
if (task === 'text-generation') {
  // Of a batch it goes on writing texts that have ended.
  output = [];
  for (const text of texts) output.push(await run(text, options));
} else {
  output = await run(texts, options);
}
writeFileSync(answered, JSON.stringify(typeof output.tolist === 'function' ? output.tolist() : output));
