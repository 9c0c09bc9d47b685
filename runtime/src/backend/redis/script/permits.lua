-- The permits of requests in flight. They are stored beside the counters, in a key of their own: a
-- byte for the version, and for each process that holds permits of the subject its number, the number
-- of its last operation, its permits, the time and the length of its lease on them, and how many it
-- has released so far. A process renews its lease with each operation. After the end of the lease its
-- permits are free.
--
-- An operation says how many permits the process has released (`released`) and how many it holds for
-- certain (`have`), so that a release is known with the next operation, and permits that a server has
-- lost with its last writes are told again. If no other operation of the process is on its way that
-- takes one, it holds no more (`is_exact`): that makes good what an answer that was lost has left.
-- Operations that arrive after one with a higher number do not say what the process holds.

local function encode_holder(owner, number, permits, renewed, hold, released)
  return pack('<c8dI4ddd', owner, number, permits, renewed, hold, released)
end

-- Reads the permits of a subject. Returns the number of those of other processes, their entries and the
-- end of their leases, and of this one the number of the last operation, the permits and the releases. Where the
-- value cannot be read, all permits are taken for the length of a lease.
local function read_permits(key, permit)
  local text, others, held, ends, last, mine = try_call('GET', key) or '', {}, 0, 0, 0, 0
  local freed = permit.released
  if type(text) == 'table' or #text > 0 and (byte(text) ~= VERSION or #text % HOLDER ~= 1) then
    local nobody = encode_holder(string.rep('\0', 8), 0, permit.limit, now, permit.hold, 0)
    return permit.limit, { nobody }, now + permit.hold, 0, 0, freed,
      encode_text(254, 'the permits have a format that this release does not know')
  end
  for at = 2, #text, HOLDER do
    local owner = sub(text, at, at + 7)
    local number, permits, renewed, hold, released = unpack('<dI4ddd', text, at + 8)
    -- A clock that was set back does not end a lease, and does not prolong it.
    renewed = min(renewed, now)
    if owner == permit.owner then
      last, mine, freed = number, permits, released
    elseif renewed + hold > now then
      held, ends = held + permits, max(ends, renewed + hold)
      others[#others + 1] = encode_holder(owner, number, permits, renewed, hold, released)
    end
  end
  return held, others, ends, last, mine, freed, ''
end

-- Carries out a check that may take a permit, or the report of a process on its permits.
function check_permit(number, key, plan)
  work = work + 3
  local permit, held_key = plan.permit, keys[count + number]
  local held, others, ends, last, mine, freed, replaced_reply = read_permits(held_key, permit)
  local released = max(freed, permit.released)
  mine = max(mine - (released - freed), 0)
  if last <= permit.number then
    mine = permit.is_exact == 1 and permit.have or max(permit.have, mine)
  end
  local told = held + mine
  local is_free, is_passed = told < permit.limit or plan.cost == 0, true
  local reply = pack('<BI8', 1, 1)
  if plan.count > 0 and not permit.reports then
    reply = check(number, key, is_free and plan.inner or plan.looks)
    -- The lowest bit of the status says that the quotas admit the check, the 49th that there is a ban.
    is_passed = byte(reply, 2) % 2 == 1 and byte(reply, 8) % 2 == 0
  end
  if permit.takes and is_free and is_passed and plan.cost > 0 then mine = mine + 1 end
  if permit.takes or permit.reports then
    if mine > 0 then
      others[#others + 1] =
        encode_holder(permit.owner, max(last, permit.number), mine, now, permit.hold, released)
      ends = max(ends, now + permit.hold)
    end
    if #others > 0 then
      call('SET', held_key, pack('<B', VERSION) .. table.concat(others), 'PX', millis_until(ends))
    else
      call('DEL', held_key)
    end
  end
  return replaced_reply .. pack('<B', byte(reply) + 1) .. sub(reply, 2) .. pack('<I8', told)
end
