-- Checks that end with an error: they get its text as their reply. If a value cannot be read, it is
-- replaced, and the check is carried out once more. If a window of a calendar is missing, the reply
-- says which.

-- Takes the place of a check's reply, after the check has raised an error.
function recover(number, failure)
  -- A translation computes at earlier times.
  now = clock
  if type(failure) == 'table' and failure.wanted then
    replies[number + 1] = encode_text(252, failure.wanted)
    return
  end
  local key, text = keys[number], text_of(failure)
  local state, plan = states[key], plan_of(byte(plan_numbers, number))
  local checks = state and state.checks or {}
  if checks[#checks] == number then checks[#checks] = nil end
  states[key] = nil
  if is_unreadable(text) and not replaced[number] then
    state = used_up(key, plan, checks)
    seen[key], states[key], loaded[#loaded + 1] = true, state, state
    replaced[number] = encode_text(254, text)
    local done, reply = pcall(check, number, key, plan)
    if done then
      replies[number + 1] = replaced[number] .. reply
    else
      recover(number, reply)
    end
  else
    replies[number + 1] = encode_error(failure)
    for _, other in ipairs(checks) do replies[other + 1] = encode_error(failure) end
  end
end

-- Writes the states that checks have changed.
local function finish_all()
  for _, state in ipairs(loaded) do
    if states[state.key] == state then finish(state) end
  end
end
