import { z } from "zod";
import { ID_PATTERN } from "./id.ts";

/** An id as part of an operation's input. */
export const Id = z.string().regex(ID_PATTERN, "letters, digits, _ . and -, at most 64, not starting with - or .");
