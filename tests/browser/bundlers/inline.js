// The package with its module inside.

import * as tunnel from "hvym-tunnel/inline";
import { tell } from "./tell.js";

tell(() => ({ tunnel }));
