// The package without a bundler, in a page or in a worker.

import * as tunnel from "/package/index.js";
import { tell } from "./tell.js";

tell(() => ({ tunnel }));
