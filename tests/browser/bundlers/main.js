// The package, and nothing said about where its module is.

import * as tunnel from "hvym-tunnel";
import { tell } from "./tell.js";

tell(() => ({ tunnel }));
